"""python -m benchmarks.scale [CONTAINERS]   a thousand default containers, from start to nothing left.

Each is what a file that says nothing gets: overlay, namespaces of every kind, ids, filter and network of its
own, and here cpu.max. In one run of one instance: started, looked at while idle, asked for its
state, both halves killed and started again, stopped, and looked for what is left.
"""

import os
import stat
import statistics
import sys
import time
from contextlib import suppress
from typing import NamedTuple

from benchmarks import proc
from benchmarks.instance import Instance, instance

IDLE = 20.0
HOLDER = b"supervisor: holder"
ASKED = 5
TABLES = """
[defaults]
rootfs = "rootfs"
command = ["/bin/sleep", "1000000"]
[container.sleeper]
replicas = {count}
cgroup.cpu.max = "10%"
"""


class Found(NamedTuple):
    """Seconds and kB; `idle` is per cent of a core over IDLE seconds, the helper's and the other half's."""

    containers: int
    started: float
    memory: dict[str, dict[str, int]]
    descriptors: dict[str, int]
    shim: float
    idle: dict[str, float]
    status: float
    taken_over: float
    kept: int
    stopped: float
    left: dict[str, int]


def measure(count: int) -> Found:
    with instance(TABLES.format(count=count), started=False, root=True) as one:
        started = one.start()
        before = {each["name"]: each["pid"] for each in one.containers()}
        pids = dict(zip(("helper", "unprivileged half"), one.halves(), strict=True))
        pids["holder"] = next(pid for pid in proc.children(pids["helper"]) if HOLDER in proc.command(pid))
        shims = shims_of(pids["helper"])
        memory = {name: proc.memory(pid) for name, pid in pids.items()}
        descriptors = {name: proc.descriptors(pid) for name, pid in pids.items()}
        shim = statistics.median(proc.memory(pid)["Private"] for pid in shims)
        idle = idling(pids)
        status = asked(one)
        one.crash()
        taken_over = one.start()
        after = {each["name"]: each["pid"] for each in one.containers()}
        stopped = one.stop()
        return Found(
            count, started, memory, descriptors, shim, idle, status, taken_over,
            sum(before[name] == pid for name, pid in after.items()), stopped,
            leftovers(one, [*shims, *(pid for pid in before.values() if pid)]),
        )  # fmt: skip


def shims_of(helper: int) -> list[int]:
    """PID 1 of each container is the helper's child, and so are the unprivileged half and the holders."""
    return [
        pid
        for pid in proc.children(helper)
        if not any(word in proc.command(pid) for word in (b"supervisor.daemon", HOLDER))
    ]


def idling(pids: dict[str, int]) -> dict[str, float]:
    time.sleep(3)  # what the start left to do is done
    before, began = {name: proc.used(pid) for name, pid in pids.items()}, time.monotonic()
    time.sleep(IDLE)
    lasted = time.monotonic() - began
    return {name: (proc.used(pid) - before[name]) / lasted * 100 for name, pid in pids.items()}


def asked(one: Instance) -> float:
    """Seconds of the whole program `supervisor status --json`, median."""
    spans = []
    for _ in range(ASKED):
        began = time.perf_counter()
        one.run("status", "--json")
        spans.append(time.perf_counter() - began)
    return statistics.median(spans)


def leftovers(one: Instance, pids: list[int]) -> dict[str, int]:
    """What should not be there any more: processes, cgroups in any hierarchy, mounts, FIFOs and sockets."""
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        mounts = [line.split() for line in file]
    files = [os.lstat(f"{top}/{name}") for top, _, names in os.walk(one.runtime_dir) for name in names]
    return {
        "processes": sum(proc.alive(pid) for pid in pids),
        "cgroups": sum(
            _folders(os.path.join(where, one.subtree))
            for _, where, kind, *_ in mounts
            if kind in {"cgroup", "cgroup2"}
        ),
        "mounts": sum(one.runtime_dir in line[1] or one.folder in line[1] for line in mounts),
        "FIFOs and sockets": sum(stat.S_ISFIFO(one.st_mode) or stat.S_ISSOCK(one.st_mode) for one in files),
    }


def _folders(top: str) -> int:
    return sum(1 for _ in os.walk(top))


def show(found: Found) -> None:
    count = found.containers
    print(f"{count} containers")
    print(f"  all running         {found.started:8.2f} s   {found.started / count * 1000:.2f} ms each")
    for name, kinds in found.memory.items():
        print(
            f"  {name:<18}  {kinds['Rss'] / 1000:8.1f} MB  PSS {kinds['Pss'] / 1000:.1f} MB, "
            f"{found.descriptors[name]} descriptors"
        )
    print(f"  init shim, private  {found.shim:8.0f} kB  median")
    total = sum(found.idle.values())
    each = ", ".join(f"{name} {share:.2f}" for name, share in found.idle.items())
    print(f"  idle                {total:8.2f} % of a core over {IDLE:g} s: {each}")
    print(f"  status --json       {found.status * 1000:8.0f} ms  median of {ASKED}")
    print(
        f"  take-over           {found.taken_over:8.2f} s   "
        f"after SIGKILL of both; {found.kept} of {count} run on"
    )
    print(f"  stop                {found.stopped:8.2f} s")
    print("  left                " + ", ".join(f"{many} {what}" for what, many in found.left.items()))


def shown(count: int) -> Found:
    found = measure(count)
    show(found)
    return found


def whole(found: Found) -> bool:
    """Whether every container outlived its supervisor, and nothing outlived the stop."""
    return found.kept == found.containers and not any(found.left.values())


def main(count: int = 1000) -> int:
    with suppress(OSError):
        os.nice(-20)
    return int(not whole(shown(count)))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
