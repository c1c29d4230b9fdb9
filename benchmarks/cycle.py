"""python -m benchmarks.cycle [CONTAINERS] [ROUNDS]   what one run costs the unprivileged half, from its end to the next one's start.

CPU time of this process, which is that half but for two sockets: the helper is played, and so are FIFOs that say nothing;
a cgroup is a folder of files. Decisions, the ledger, records and readings are the real ones. All containers end at
once, in every round; no back-off holds them.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from supervisor.core.backoff import Backoff
from supervisor.core.readings import Cgroup
from supervisor.core.spec import Configuration, Container, Logs, Monitor, Restart, Settings
from supervisor.logs.archive import Archive
from supervisor.logs.journal import open_journal
from supervisor.monitor.kernel import CgroupMonitor
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.hooks import Hooks
from supervisor.supervise.ledger import Ledger
from supervisor.supervise.ports import Ended, Started

FILES = {
    "cpu.stat": "usage_usec 9\nuser_usec 4\nsystem_usec 5\nnr_periods 1\nnr_throttled 0\nthrottled_usec 0\n",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "cpu.max": "10000 100000\n",
    "memory.current": "4096\n",
    "memory.max": "max\n",
    "pids.current": "1\n",
}
UNBRAKED = 1e6


class Played:
    """A helper that does as it is asked, once it is told to `answer`; and output that says nothing."""

    lost = False

    def __init__(self, cgroups: str) -> None:
        self.cgroups = cgroups
        self.asked: list[tuple[str, int]] = []
        self.fleet: Fleet

    def launch_now(self, name: str, run: int) -> bool:
        self.asked.append((name, run))
        return True

    async def launch(self, name: str, run: int) -> None:
        self.launch_now(name, run)

    async def signal(self, name: str, run: int, signal: int) -> None: ...
    async def kill(self, name: str, run: int) -> None: ...
    async def remove(self, name: str) -> None: ...

    def attach(self, name: str, run: int) -> None: ...
    async def drain(self, name: str) -> None: ...
    def detach(self, name: str) -> None: ...
    def last_run(self, _name: str) -> int:
        return 0

    def waiting(self, _name: str) -> int:
        return 0

    async def answer(self) -> list[tuple[str, int]]:
        """What has been asked for runs, and is known to."""
        await trio.testing.wait_all_tasks_blocked()
        runs, self.asked = self.asked, []
        for name, run in runs:
            folder = f"{self.cgroups}/{name}"
            self.fleet.deliver(Started(name, run, 1, 1.0, Cgroup(folder, folder)))
        await trio.testing.wait_all_tasks_blocked()
        return runs


def prepare(folder: str, names: list[str]) -> None:
    for path in ("logs/supervisor", "ledger", *(f"cgroups/{name}" for name in names)):
        os.makedirs(f"{folder}/{path}")
    for name in names:
        for file, text in FILES.items():
            with open(f"{folder}/cgroups/{name}/{file}", "w", encoding="ascii") as made:
                made.write(text)


@asynccontextmanager
async def fleet(folder: str, count: int) -> AsyncIterator[Played]:
    names = [f"one.{number}" for number in range(count)]
    prepare(folder, names)
    always = Restart("always", backoff=Backoff(initial=0))
    specs = tuple(Container(name, "/", ("true",), service=name, restart=always) for name in names)
    configuration = Configuration(Settings(Logs("/logs"), restarts_per_second=UNBRAKED), specs)
    journal = open_journal(Archive(os.open(f"{folder}/logs", os.O_RDONLY)).store("supervisor"))
    hooks = Hooks(journal, {one.name: one for one in specs}.get, lambda _name: {}, journal.record)
    monitor = CgroupMonitor(hooks.record, Monitor(interval=3600.0))
    ledger = Ledger(os.open(f"{folder}/ledger", os.O_RDONLY), time.time)
    played = Played(f"{folder}/cgroups")
    played.fleet = Fleet(configuration, played, played, monitor, hooks, ledger, log=journal)
    async with trio.open_nursery() as nursery:
        await nursery.start(played.fleet.run)
        await played.fleet.boot()
        yield played
        nursery.cancel_scope.cancel()
    monitor.close()


async def measure(folder: str, count: int, rounds: int) -> list[float]:
    """CPU milliseconds of each round, by run."""
    spent = []
    async with fleet(folder, count) as played:
        runs = await played.answer()
        for _ in range(rounds):
            began = time.process_time()
            for name, run in runs:
                played.fleet.deliver(Ended(name, run, None, 9))
            runs = await played.answer()
            spent.append((time.process_time() - began) * 1000 / count)
            assert len(runs) == count
    return sorted(spent)


def main(count: int = 200, rounds: int = 10) -> int:
    with tempfile.TemporaryDirectory(prefix="bench-", dir="/dev/shm") as folder:
        spent = trio.run(measure, folder, count, rounds)
    print(
        f"unprivileged half, CPU time of a run {statistics.median(spent):8.3f} ms   {spent[0]:.3f} to {spent[-1]:.3f}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
