"""One container's cgroup, as counters and limits read from files that stay open, where there is room for that.

Laws: only what changed is parsed; a file that is gone keeps its last value and is not read again,
the others are (on a hybrid host the two folders live and die apart). The files of a run may be read for the next one, if
that is in the same folders.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

from supervisor.core.readings import Cgroup
from supervisor.monitor import stat
from supervisor.monitor.files import Identity, identity, open_file, read

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


#: Of the v2 folder and of that with the CPU's limit.
Identities = tuple[Identity | None, Identity | None]


def identities(cgroup: Cgroup) -> Identities:
    unified = identity(cgroup.unified)
    return unified, unified if cgroup.cpu == cgroup.unified else identity(cgroup.cpu)


class File:
    """`fd` is -1 where descriptors are scarce: then it is opened for each look."""

    __slots__ = ("fd", "folder", "name", "parse", "raw")

    def __init__(self, folder: str, name: str, parse: Parser, fd: int) -> None:
        self.folder, self.name, self.parse, self.fd, self.raw = folder, name, parse, fd, b""

    def look(self) -> bytes | None:
        """None: it is gone."""
        if self.fd >= 0:
            return read(self.fd)
        try:
            fd = open_file(self.folder, self.name)
        except OSError:
            return self.raw  # no descriptor just now: the next look will tell
        if fd is None:
            return None
        found = read(fd)
        os.close(fd)
        return found

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class Leaf:
    __slots__ = ("_cgroup", "_counting", "_keep", "_levels", "_rest", "_whole", "folders", "values")

    def __init__(self, cgroup: Cgroup, *, keep: bool = True) -> None:
        """Look for what is there. OSError (EMFILE, EACCES): some of it could not be seen, nothing is left open.

        `keep`: files stay open. What only changes with the usage, `_rest`, is read when that has changed. Limits and
        amounts, `_levels`, are looked for when somebody asks for them first: of a thousand containers that begin nobody does.
        """
        self.folders = identities(cgroup)
        self._cgroup, self._keep, self._whole = cgroup, keep, True
        self.values: stat.Values = {}
        self._counting: list[File] = []
        self._rest: list[File] = []
        self._levels: list[File] | None = None
        try:
            _open(self._counting, cgroup.unified, COUNTERS, keep=keep)
            if cgroup.cpu != cgroup.unified:
                _open(self._rest, cgroup.cpu, COUNTERS_V1, keep=keep)
        except OSError:
            self.close()
            raise

    def serves(self, cgroup: Cgroup) -> bool:
        """Whether what is open here is that cgroup's, all of it."""
        return self._keep and self._whole and None not in self.folders and self.folders == identities(cgroup)

    def refresh(self) -> bool:
        """Read what counts; True if it says something new. Who has used nothing was not throttled either."""
        changed = self._read(self._counting)
        if changed or not self._counting:
            changed |= self._read(self._rest)
        return changed

    def refresh_levels(self) -> None:
        if self._levels is None and self.folders == identities(self._cgroup):
            self._levels = _opened_levels(self._cgroup, keep=self._keep)
        self._read(self._levels or [])

    def _read(self, files: list[File]) -> bool:
        changed, gone = False, []
        for file in files:
            raw = file.look()
            if raw is None:
                gone.append(file)
            elif raw != file.raw:
                file.raw = raw
                self.values.update(file.parse(raw) or {})
                changed = True
        for file in gone:
            file.close()
            files.remove(file)
            self._whole = False
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
        for files in (self._counting, self._rest, self._levels or []):
            for file in files:
                file.close()
            files.clear()


class Ended(NamedTuple):
    """How a run left its cgroup behind: which folders, and what they had counted."""

    folders: Identities
    counters: Counters
    peak: int = 0


def _open(files: list[File], folder: str, sources: Sources, *, keep: bool) -> None:
    for name, parse in sources:
        if (fd := open_file(folder, name)) is not None:
            if not keep:
                os.close(fd)
            files.append(File(folder, name, parse, fd if keep else -1))


def _opened_levels(cgroup: Cgroup, *, keep: bool) -> list[File] | None:
    """None: it cannot be told now, for want of descriptors; the next look will tell."""
    files: list[File] = []
    try:
        _open(files, cgroup.unified, LEVELS, keep=keep)
        _open(files, cgroup.cpu, CPU_LEVELS, keep=keep)
    except OSError:
        for file in files:
            file.close()
        return None
    return files
