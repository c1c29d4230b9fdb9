"""Hears the kernel say that a cgroup filled, emptied, froze, or lost a process to the OOM killer.

Laws:
- Nothing is polled. cgroup.events and memory.events signal by POLLPRI; all of them are in one
  epoll, whose own fd becomes readable, so one task waits for every container.
- A file is registered first and read then, and every read is from its start, which re-arms it:
  no change falls between.
- These fds are nobody else's: POLLPRI is armed per open file, another reader would eat events.
- A removed cgroup signals for ever, so it is taken out at once. It had no process left: if it
  was last seen populated, that is recorded.
"""

import os
import select
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import trio

from supervisor.core.readings import Cgroup
from supervisor.monitor import stat
from supervisor.monitor.files import Identity, Record, identity, open_file, read

AT_REST = stat.Events(populated=False, frozen=False)
#: Events taken from the epoll at once; it is level-triggered, the rest come at the next turn.
BATCH = 256


class Killed(NamedTuple):
    """How many processes the OOM killer took in a folder's life."""

    folder: Identity | None
    kills: int


class Watched:
    """A run being watched. `base` is the count of OOM kills it starts from, `kills` the last one seen.

    Between two runs in the same cgroup its files stay open, and nobody waits for them.
    """

    __slots__ = ("base", "counts_kills", "events", "events_fd", "folder", "kills", "memory_fd", "name", "run")

    def __init__(self, name: str, run: int, cgroup: Cgroup, before: Killed | None) -> None:
        self.name, self.run = name, run
        self.folder = identity(cgroup.unified)
        self.events = AT_REST
        reused = before is not None and self.folder is not None and before.folder == self.folder
        self.base = before.kills if before is not None and reused else 0
        self.kills = self.base
        self.events_fd = open_file(cgroup.unified, "cgroup.events")
        try:
            self.memory_fd = open_file(cgroup.unified, "memory.events")
        except OSError:
            if self.events_fd is not None:
                os.close(self.events_fd)
            raise
        self.counts_kills = self.memory_fd is not None

    def serves(self, cgroup: Cgroup) -> bool:
        """Whether what is open here is that cgroup's."""
        found = self.events_fd is not None and (self.memory_fd is not None) == self.counts_kills
        return found and self.folder is not None and self.folder == identity(cgroup.unified)

    def begin(self, run: int) -> None:
        """The next one, in the same cgroup."""
        self.run, self.base, self.events = run, self.kills, AT_REST


class Watch:
    def __init__(
        self, record: Record, populated: Callable[[str, bool], None] = lambda *_: None, *, keep: bool = True
    ) -> None:
        """`populated` hears whether anybody is in a container's cgroup, before that is recorded."""
        self._keep, self._populated = keep, populated
        self._record = record
        self._epoll = select.epoll()
        self._runs: dict[str, Watched] = {}
        self._fds: dict[int, Watched] = {}
        self._ended: dict[str, Killed] = {}
        self._idle: dict[str, Watched] = {}

    def attach(self, name: str, run: int, cgroup: Cgroup) -> None:
        """Watch this run from now on; what is already so is recorded. OSError: it cannot be watched."""
        self.detach(name)
        watched = self._idle.pop(name, None)
        if watched is not None and watched.serves(cgroup):
            watched.begin(run)
        else:
            if watched is not None:
                self._drop(watched)
            watched = Watched(name, run, cgroup, self._ended.pop(name, None))
        self._runs[name] = watched
        try:
            for fd in (watched.events_fd, watched.memory_fd):
                if fd is not None:
                    self._fds[fd] = watched
                    self._epoll.register(fd, select.EPOLLPRI)
        finally:
            # Also where the kernel cannot signal (EPERM): the first and the last state are told.
            self._look(watched)

    def detach(self, name: str) -> int | None:
        """OOM kills of the whole run (None: not attached, or no such file), after a last look."""
        watched = self._runs.get(name)
        if watched is None:
            return None
        self._look(watched)
        kills = self.oom_kill(name)
        self._ended[name] = Killed(watched.folder, watched.kills)
        del self._runs[name]
        if self._keep:
            for fd in (watched.events_fd, watched.memory_fd):
                if fd is not None and self._fds.pop(fd, None) is not None:
                    self._unregister(fd)
            self._idle[name] = watched
        else:
            self._drop(watched)
        return kills

    def release(self, name: str) -> None:
        """Its cgroup is going: let go of what is open there."""
        watched = self._idle.pop(name, None)
        if watched is not None:
            self._drop(watched)

    def oom_kill(self, name: str) -> int | None:
        """OOM kills of the run so far; None where nothing counts them."""
        watched = self._runs.get(name)
        return watched.kills - watched.base if watched and watched.counts_kills else None

    def close(self) -> None:
        for watched in (*self._runs.values(), *self._idle.values()):
            self._drop(watched)
        self._runs.clear()
        self._idle.clear()
        self._epoll.close()

    async def run(self) -> None:
        """Record events as they come, until cancelled."""
        while True:
            await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0, BATCH):
                if (watched := self._fds.get(fd)) is not None:
                    self._look(watched)

    def _look(self, watched: Watched) -> None:
        # Kills are told first: the OOM killer is often why the cgroup is empty.
        if watched.memory_fd is not None:
            data = read(watched.memory_fd)
            self._killed(watched, stat.memory_events(data))
            if data is None:
                self._forget(watched.memory_fd)
                watched.memory_fd = None
        if watched.events_fd is not None:
            data = read(watched.events_fd)
            self._changed(watched, AT_REST if data is None else stat.cgroup_events(data))
            if data is None:
                self._forget(watched.events_fd)
                watched.events_fd = None

    def _killed(self, watched: Watched, kills: int | None) -> None:
        if kills is None or kills <= watched.kills:
            return
        count, watched.kills = kills - watched.kills, kills
        total = kills - watched.base
        self._record("warning", "memory.oom_kill", watched.name, watched.run, count=count, total=total)

    def _changed(self, watched: Watched, events: stat.Events | None) -> None:
        if events is None or events == watched.events:
            return
        watched.events = events
        self._populated(watched.name, events.populated)
        self._record("info", "cgroup.events", watched.name, watched.run, **events._asdict())

    def _drop(self, watched: Watched) -> None:
        for fd in (watched.events_fd, watched.memory_fd):
            if fd is not None:
                self._forget(fd)

    def _unregister(self, fd: int) -> None:
        with suppress(OSError):  # one that cannot signal (EPERM) never was
            self._epoll.unregister(fd)

    def _forget(self, fd: int) -> None:
        """Closing takes it out of the epoll too: nobody else holds this open file."""
        self._fds.pop(fd, None)
        os.close(fd)
