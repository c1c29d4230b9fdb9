"""python -m benchmarks.profile [CONTAINERS]   where the time of a launch and of a restart goes; 200 containers by default.

CPU time is what the kernel counted for each process (schedstat), so it says what work there is, however busy the machine
is with other things; the moments of a restart are those of its records.
"""

import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from datetime import datetime

from benchmarks import proc
from benchmarks.beacon import Beacons
from benchmarks.compare import RESTARTS, SETTLE, prepare
from benchmarks.peers import Ours
from benchmarks.scale import shims_of

MOMENTS = ("cgroup.events", "container.exited", "container.backoff", "container.starting")


def launches(ours: Ours, count: int) -> None:
    """CPU milliseconds of a launch, by process: all that it has used since the supervisor was started."""
    helper, half = ours.one.halves()
    shims = shims_of(helper)
    rows = {
        "helper": proc.ran(helper),
        "unprivileged half": proc.ran(half),
        "PID 1": sum(map(proc.ran, shims)),
        "the service": sum(map(proc.ran, ours.services())),
    }
    for name, spent in rows.items():
        print(f"  {name:<44}{spent / count:8.2f} ms")
    print(f"  {'pages that PID 1 was given':<44}{statistics.median(map(proc.faults, shims)):8.0f}")
    took = [one["launch_ms"] for one in ours.one.told() if one["event"] == "container.started"]
    print(f"  {'until the execve, of many at once':<44}{statistics.median(took):8.2f} ms")


def restarts(ours: Ours, beacons: Beacons) -> None:
    """Moments after the kill, in milliseconds, and the CPU time of both halves."""
    pids = {one["name"]: one["pid"] for one in ours.one.containers()}
    halves = ours.one.halves()
    before = [proc.ran(pid) for pid in halves]
    killed, began = {}, []
    names = list(pids)[:: max(1, len(pids) // RESTARTS)][:RESTARTS]
    for name in names:
        killed[name], at = time.time(), time.monotonic()
        os.kill(pids[name], signal.SIGKILL)
        began.append((beacons.wait(1)[0] - at) * 1000)
        time.sleep(0.1)
    spent = [(proc.ran(pid) - was) / len(names) for pid, was in zip(halves, before, strict=True)]
    for moment, spans in _moments(ours, killed).items():
        print(f"  {moment:<44}{_spread(spans)}")
    print(f"  {'first instruction of the successor':<44}{_spread(began)}")
    for name, each in zip(("helper, CPU time", "unprivileged half, CPU time"), spent, strict=True):
        print(f"  {name:<44}{each:8.2f} ms")


def _moments(ours: Ours, killed: dict[str, float]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {moment: [] for moment in MOMENTS}
    seen: set[tuple[str, str]] = set()
    for record in ours.one.told():
        name, event = record.get("container", ""), record["event"]
        when = datetime.fromisoformat(record["ts"]).timestamp()
        if event in found and when >= killed.get(name, float("inf")) and (name, event) not in seen:
            seen.add((name, event))
            found[event].append((when - killed[name]) * 1000)
    return found


def _spread(spans: Iterable[float]) -> str:
    spans = sorted(spans)
    return f"{statistics.median(spans):8.2f} ms   {spans[0]:.2f} to {spans[-1]:.2f}"


def main(count: int = 200) -> int:
    with suppress(OSError):
        os.nice(-20)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = prepare(folder)
        ours = Ours()
        with closing(Beacons(place.fifo)) as beacons:
            ours.begin(place, count)
            try:
                beacons.wait(count)
                time.sleep(SETTLE)
                print(f"a launch, of {count} at once:")
                launches(ours, count)
                print(f"a restart, after SIGKILL, median of {RESTARTS}:")
                restarts(ours, beacons)
            finally:
                ours.end()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
