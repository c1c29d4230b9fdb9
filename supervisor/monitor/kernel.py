"""Monitoring of all containers: `supervise`'s port Kernel, made of the sampler and the watch.

Laws: attach and detach never raise for what a cgroup does or lacks; what cannot be seen is one
`cgroup.unreadable` warning, and the container goes on unobserved.
"""

import os
from collections.abc import Callable

import trio

from supervisor.core.readings import Cgroup, Reading
from supervisor.core.spec import Monitor
from supervisor.monitor.files import Record
from supervisor.monitor.sample import Sampler
from supervisor.monitor.watch import Watch


class CgroupMonitor:
    def __init__(
        self,
        journal: Record,
        settings: Monitor,
        clock: Callable[[], float] = trio.current_time,
        cpus: int | None = None,
        *,
        keep: bool = True,
    ) -> None:
        """`keep`: a container's files stay open until it rests, which takes up to seven descriptors more."""
        self._record = journal
        self._sampler = Sampler(journal, settings, clock, cpus, keep=keep)
        self._watch = Watch(journal, self._sampler.populated, keep=keep)

    def attach(self, name: str, run: int, cgroup: Cgroup) -> None:
        for attach in (self._sampler.attach, self._watch.attach):
            try:
                attach(name, run, cgroup)
            except OSError as failure:
                self._record(
                    "warning",
                    "cgroup.unreadable",
                    name,
                    run,
                    path=failure.filename or cgroup.unified,
                    errno=failure.errno,
                    error=os.strerror(failure.errno or 0),
                )

    def detach(self, name: str) -> Reading:
        """The last reading, for the whole run; then forget the container. Zeros if it was not attached."""
        kills = self._watch.detach(name)
        return self._sampler.detach(name, kills) or Reading(oom_kill=kills)

    def release(self, name: str) -> None:
        """Its cgroup is going. Until then what is open there serves the next run, if that is in the same one."""
        self._watch.release(name)
        self._sampler.release(name)

    def latest(self, name: str) -> Reading | None:
        return self._sampler.latest(name, self._watch.oom_kill(name))

    def configure(self, settings: Monitor) -> None:
        """From now on; an interval that is under way ends at once."""
        self._sampler.configure(settings)

    async def run(self) -> None:
        """Sample and watch until cancelled; attach and detach work before, during and after."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sampler.run)
            nursery.start_soon(self._watch.run)

    def close(self) -> None:
        self._sampler.close()
        self._watch.close()
