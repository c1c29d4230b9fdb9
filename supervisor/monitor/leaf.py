"""One container's cgroup, as counters and limits read from files that stay open.

Laws: only what changed is parsed; a file that is gone keeps its last value and is not read again,
the others are (on a hybrid host the two folders live and die apart).
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from supervisor.core.readings import Cgroup
from supervisor.monitor import stat
from supervisor.monitor.files import identity, open_file, read

Parser = Callable[[bytes | None], stat.Values | None]

Sources = tuple[tuple[str, Parser], ...]

#: The files that count, read at the interval. Where `cpu` is a v1 folder, its cpu.stat has the
#: throttling; on a pure v2 host both folders are one, and its cpu.stat is read once.
COUNTERS: Sources = (("cpu.stat", stat.cpu_stat),)
COUNTERS_V1: Sources = (("cpu.stat", stat.cpu_stat_v1),)
#: Limits and amounts, read when somebody asks: nothing is computed from their past.
LEVELS: Sources = (
    ("memory.current", stat.memory_current),
    ("memory.max", stat.memory_max),
    ("memory.peak", stat.memory_peak),
    ("pids.current", stat.pids_current),
)
CPU_LEVELS: Sources = (
    ("cpu.max", stat.cpu_max),
    ("cpu.cfs_quota_us", stat.cfs_quota),
    ("cpu.cfs_period_us", stat.cfs_period),
)


class Counters(NamedTuple):
    """What only rises while a cgroup lives."""

    usage_usec: int = 0
    nr_periods: int = 0
    nr_throttled: int = 0
    throttled_usec: int = 0

    def since(self, before: "Counters") -> "Counters":
        """The difference; never negative, should a counter ever start anew."""
        usage, periods, throttled, time = self
        usage0, periods0, throttled0, time0 = before
        return Counters(
            max(usage - usage0, 0),
            max(periods - periods0, 0),
            max(throttled - throttled0, 0),
            max(time - time0, 0),
        )


class File:
    __slots__ = ("fd", "parse", "raw")

    def __init__(self, fd: int, parse: Parser) -> None:
        self.fd, self.parse, self.raw = fd, parse, b""


class Leaf:
    __slots__ = ("_counting", "_levels", "folders", "values")

    def __init__(self, cgroup: Cgroup) -> None:
        """Open what is there. OSError (EMFILE, EACCES): some of it could not be, nothing is left open."""
        self.folders = (identity(cgroup.unified), identity(cgroup.cpu))
        self.values: stat.Values = {}
        self._counting: list[File] = []
        self._levels: list[File] = []
        try:
            _open(self._counting, cgroup.unified, COUNTERS)
            if cgroup.cpu != cgroup.unified:
                _open(self._counting, cgroup.cpu, COUNTERS_V1)
            _open(self._levels, cgroup.unified, LEVELS)
            _open(self._levels, cgroup.cpu, CPU_LEVELS)
        except OSError:
            self.close()
            raise

    def refresh(self) -> bool:
        """Read what counts; True if it says something new."""
        return self._read(self._counting)

    def refresh_levels(self) -> None:
        self._read(self._levels)

    def _read(self, files: list[File]) -> bool:
        changed, gone = False, []
        for file in files:
            raw = read(file.fd)
            if raw is None:
                gone.append(file)
            elif raw != file.raw:
                file.raw = raw
                self.values.update(file.parse(raw) or {})
                changed = True
        for file in gone:
            os.close(file.fd)
            files.remove(file)
        return changed

    def counters(self) -> Counters:
        get = self.values.get
        return Counters(
            get("usage_usec") or 0,
            get("nr_periods") or 0,
            get("nr_throttled") or 0,
            get("throttled_usec") or 0,
        )

    def baseline(self, before: "Ended | None") -> Counters:
        """Where this run starts counting, given how the previous one ended.

        The unified folder has the usage and the cpu folder the rest; each may have been reused.
        """
        if before is None:
            return Counters()
        usage = before.counters.usage_usec if self._same(before, 0) else 0
        rest = before.counters[1:] if self._same(before, 1) else (0, 0, 0)
        return Counters(usage, *rest)

    def _same(self, before: "Ended", index: int) -> bool:
        return self.folders[index] is not None and self.folders[index] == before.folders[index]

    def ended(self) -> "Ended":
        return Ended(self.folders, self.counters(), self.values.get("memory_peak") or 0)

    def peak_before(self, before: "Ended | None") -> int:
        """The memory.peak that earlier runs left in this folder: only what is above it is this run's."""
        return before.peak if before is not None and self._same(before, 0) else 0

    def close(self) -> None:
        for files in (self._counting, self._levels):
            for file in files:
                os.close(file.fd)
            files.clear()


class Ended(NamedTuple):
    """How a run left its cgroup behind: which folders, and what they had counted."""

    folders: tuple[tuple[int, int] | None, tuple[int, int] | None]
    counters: Counters
    peak: int = 0


def _open(files: list[File], folder: str, sources: Sources) -> None:
    for name, parse in sources:
        if (fd := open_file(folder, name)) is not None:
            files.append(File(fd, parse))
