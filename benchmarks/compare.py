"""python -m benchmarks.compare [COUNT…]   ours beside runit, s6, supervisord, circus, crun, runc, bwrap.

For each COUNT (1, 10, 100, 200 and 1000 by default) and each in turn: how long until all services have begun, what its own processes take in
memory and, with WATCHED services, of a core while nothing happens, how long from SIGKILL of a service to the first
instruction of its successor, and how long until a stop has ended all. A service is benchmarks.beacon.
"""

import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks import proc
from benchmarks.beacon import Beacons, write_program
from benchmarks.instance import ROOT_FOLDERS
from benchmarks.peers import PEERS, AbsentError, Ours, Peer, Place
from benchmarks.runtimes import Bwrap, Crun, Runc

COUNTS = (1, 10, 100, 200, 1000)
#: With so many services idle and restarts are measured.
WATCHED = 200
RESTARTS = 20
IDLE = 10.0
#: Some restart a service at once only if it has run for more than a second.
SETTLE = 3.0
#: What is going to take longer is not tried.
LONGEST = 150.0
EVERYTHING: tuple[type[Peer], ...] = (*PEERS, Crun, Runc, Bwrap)


@dataclass
class Measured:
    """Seconds by count; `memory` is PSS in kB a service by count, `idle` % of a core, `restarts` in ms.
    `why` says what could not be measured, and why.
    """

    name: str
    started: dict[int, float] = field(default_factory=dict)
    stopped: dict[int, float] = field(default_factory=dict)
    memory: dict[int, float] = field(default_factory=dict)
    idle: float | None = None
    restarts: list[float] = field(default_factory=list)
    why: str = ""

    @property
    def restart(self) -> float | None:
        return statistics.median(self.restarts) if self.restarts else None


def measure(kind: type[Peer], counts: Iterable[int]) -> Measured:
    found = Measured(kind().name)
    for count in counts:
        if expected := _expected(found, count):
            found.why = f"with {count} services: it would take {expected:.0f} s"
            break
        try:
            _once(kind(), count, found)
        except AbsentError as absent:
            found.why = str(absent)
            break
        except (OSError, subprocess.SubprocessError) as error:
            found.why = f"with {count} services: {error}"
            break
    return found


def _expected(found: Measured, count: int) -> float:
    """Seconds to start and stop so many, judging by the last; 0.0 if that is not too long."""
    if not found.stopped:
        return 0.0
    last = max(found.stopped)
    seconds = (found.started[last] + found.stopped[last]) * count / last
    return seconds if seconds > LONGEST and last >= WATCHED else 0.0


def _once(peer: Peer, count: int, found: Measured) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        place = prepare(folder)
        with closing(Beacons(place.fifo)) as beacons:
            began = time.monotonic()
            peer.begin(place, count)
            try:
                found.started[count] = max(beacons.wait(count)) - began
                _look(peer, count, beacons, found)
            finally:
                asked = time.monotonic()
                peer.end()
            found.stopped[count] = time.monotonic() - asked


def prepare(folder: str) -> Place:
    """The program, a root directory with it, and room for the FIFO."""
    os.chmod(folder, 0o755)
    place = Place(folder)
    for name in ("bin", "told", *(f"root/{name}" for name in (*ROOT_FOLDERS, "told"))):
        os.makedirs(f"{folder}/{name}")
    write_program(place.program)
    shutil.copy(place.program, f"{folder}/root/bin/beacon")
    return place


def _look(peer: Peer, count: int, beacons: Beacons, found: Measured) -> None:
    time.sleep(SETTLE)
    own = peer.own()
    if own:
        found.memory[count] = sum(proc.memory(pid)["Pss"] for pid in own) / count
    if count != WATCHED or not own:
        return
    before, began = sum(map(proc.used, own)), time.monotonic()
    time.sleep(IDLE)
    found.idle = (sum(map(proc.used, own)) - before) / (time.monotonic() - began) * 100
    if type(peer) in PEERS:
        found.restarts = [_restart(pid, beacons) for pid in peer.services()[:: count // RESTARTS]]


def _restart(pid: int, beacons: Beacons) -> float:
    """Milliseconds from the kill to the successor's first instruction."""
    killed = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    took = (beacons.wait(1)[0] - killed) * 1000
    time.sleep(0.1)
    return took


def show(one: Measured) -> None:
    def each(figures: dict[int, float], form: str) -> str:
        return "  ".join(f"{count}: {form.format(figure)}" for count, figure in figures.items())

    print(one.name + (f"   ({one.why})" if one.why else ""))
    if one.started:
        print(f"  all begun, s           {each(one.started, '{:.3f}')}")
        print(f"  all ended, s           {each(one.stopped, '{:.3f}')}")
    if one.memory:
        print(f"  memory, kB a service   {each(one.memory, '{:.0f}')}")
    if one.idle is not None:
        print(f"  idle, % of a core      {one.idle:.2f}")
    if one.restart is not None:
        spread = f"{min(one.restarts):.2f} to {max(one.restarts):.2f}"
        print(f"  restart, ms            {one.restart:.2f}  median of {len(one.restarts)}, {spread}")
    sys.stdout.flush()


def everything(counts: Sequence[int] = COUNTS) -> Iterator[dict[str, Any]]:
    """Each as it comes, shown; as plain values."""
    for kind in EVERYTHING:
        one = measure(kind, counts)
        show(one)
        yield {**vars(one), "restart": one.restart}


def main(*counts: int) -> int:
    with suppress(OSError):
        os.nice(-20)
    ours, *_ = everything(counts or COUNTS)
    return int(bool(ours["why"]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["ours"]:
        show(measure(Ours, map(int, sys.argv[2:])))
    else:
        sys.exit(main(*map(int, sys.argv[1:])))
