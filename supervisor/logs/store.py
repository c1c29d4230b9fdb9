"""Append-only records of one folder, in segments.

Laws:
* `current.jsonl` grows; when the next batch would make it larger than `segment`, or its first
  record is older than `segment_age`, it becomes `<first record's time>.jsonl` (see `stamp`).
  A name that is taken, or older than an existing one because the clock went back, becomes
  `<newest>~N`: nothing is overwritten, and the order of names stays the order of records.
* A batch is one write(2); what a short write left is written after it. If that fails, the
  file is cut back to what it was, so nobody finds half a batch there, and OSError is raised.
* A last line without a newline is a batch torn by a crash of the machine; it is cut when the
  file is opened. A file that was deleted is made anew.
* A segment is closed in `prepare` and `close_old` only: between `prepare` and `append` the file stays
  the same. `close_old` is for who knows that nothing is half done (see `commit`).
* How sure an append is when it returns is for `sync` to say. One that is not sure enough has not
  happened.
"""

import errno
import os
from collections.abc import Callable
from typing import NamedTuple

import trio

from supervisor.logs import segments
from supervisor.logs.behind import Point, newest
from supervisor.logs.bell import Bell
from supervisor.logs.descriptors import Descriptors
from supervisor.logs.retention import ours
from supervisor.logs.segment import CURRENT, SUFFIX, Segment
from supervisor.logs.stamp import LENGTH, file_stem, instant
from supervisor.logs.sync import Sync

MODE = 0o640
#: As much of a stamp as says the day.
DAY = len("2026-11-23")
SECONDS_OF_A_DAY = 86400.0


class Place(NamedTuple):
    """Where the next batch goes: the file's identity and its size."""

    device: int
    inode: int
    size: int


class Store:
    """`name` is the folder below `log_dir`; descriptors are borrowed from `descriptors`.

    `closed` is called with the name when there is one more closed segment.
    """

    def __init__(
        self,
        log_dir: int,
        name: str,
        descriptors: Descriptors,
        bell: Bell,
        *,
        sync: Sync,
        closed: Callable[[str], None],
        segment: int,
        segment_age: float,
    ) -> None:
        self.name = name
        self.bell = Bell(bell)
        self.log_dir = log_dir
        self._descriptors = descriptors
        self._sync = sync
        self._closed = closed
        self._segment = segment
        self._segment_age = segment_age
        self._sound = False  # the last line is known to be whole
        self._born: str | None = None  # ts of the first record, once known
        self._newest: str | None = None  # closed segment, once known

    def configure(self, *, segment: int, segment_age: float) -> None:
        self._segment = segment
        self._segment_age = segment_age

    def write(self, batch: bytes, ts: str) -> None:
        self.append(batch, self.prepare(len(batch), ts))

    def place(self) -> Place:
        fd = self._descriptors.get(self.name)
        stat = None if fd is None or not self._sound else os.fstat(fd)
        if stat is None or not stat.st_nlink:
            stat = os.fstat(self._fd())
        return Place(stat.st_dev, stat.st_ino, stat.st_size)

    def end(self) -> Point:
        """Behind what the next batch goes, in whichever segment. OSError."""
        size = self.place().size
        if self._newest is None:
            self._newest = newest(self.log_dir, self.name)
        return Point(self._newest, size)

    def prepare(self, length: int, ts: str) -> Place:
        """Make room for a batch of `length` bytes whose first record is of `ts`."""
        place = self.place()
        if place.size and (place.size + length > self._segment or self._is_old(ts)):
            self._close_segment(ts)
            place = self.place()
        if not place.size:
            self._born = ts
        return place

    def append(self, batch: bytes, place: Place) -> None:
        """`place` is what `prepare` has said of it."""
        fd = self._descriptors.get(self.name)
        if fd is None:  # closed in between, as one of too many
            fd = self._fd()
        before = place.size
        try:
            _write_all(fd, batch)
            self._sync.wrote(self.name, fd)
        except OSError:
            self._sound = False  # should the cut fail too, the next one to open repairs
            self.cut(before)
            raise
        self.bell.ring()

    def close_old(self, ts: str) -> None:
        """Close the segment if it has become too old by `ts`, although nothing is to be written. OSError: not now."""
        try:
            size = os.stat(f"{self.name}/{CURRENT}", dir_fd=self.log_dir, follow_symlinks=False).st_size
        except FileNotFoundError:
            return
        if size and self.place().size and self._is_old(ts):
            self._close_segment(ts)

    def cut(self, size: int) -> None:
        """Back to `size` bytes."""
        os.ftruncate(self._fd(repair=False), size)

    def subscribe(self) -> trio.Event:
        """Set at the next append. Subscribe, read what there is, then wait."""
        return self.bell.subscribe()

    def _fd(self, *, repair: bool = True) -> int:
        fd = self._descriptors.get(self.name)
        if fd is not None and os.fstat(fd).st_nlink == 0:
            self._descriptors.drop(self.name)
            fd = None
            self._sound, self._born = False, None
        if fd is None:
            path = f"{self.name}/{CURRENT}"
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            fd = os.open(path, flags, MODE, dir_fd=self.log_dir)
            try:
                os.fchmod(fd, MODE)  # whatever the umask
                if not os.fstat(fd).st_size:
                    self._sync.named(self.name)
            except OSError:
                os.close(fd)
                raise
            self._descriptors.put(self.name, fd)
        if repair and not self._sound:
            size = os.fstat(fd).st_size
            whole = segments.whole_size(Segment(fd, CURRENT), size)
            if whole < size:
                os.ftruncate(fd, whole)
            self._sound = True
        return fd

    def _is_old(self, ts: str) -> bool:
        first = self._first_ts(ts)
        if ts[:DAY] == first[:DAY] and self._segment_age >= SECONDS_OF_A_DAY:
            return False  # without reading them as times
        try:
            return instant(ts) - instant(first) > self._segment_age
        except ValueError:
            return False

    def _first_ts(self, otherwise: str) -> str:
        if self._born is None:
            head = os.pread(self._fd(), 64, 0)
            found = head[7 : 7 + LENGTH].decode("ascii", "replace")
            try:
                instant(found)
            except ValueError:  # not one of our records
                found = otherwise
            self._born = found
        return self._born

    def _close_segment(self, ts: str) -> None:
        stem = file_stem(self._first_ts(ts))
        taken = [stem for stem in segments.closed(self.log_dir, self.name) if ours(stem + SUFFIX)]
        if taken and stem <= taken[-1]:
            base, _, number = taken[-1].partition("~")
            stem = f"{base}~{int(number or 0) + 1:06}"
        folder, fd = self.name, self._fd()
        os.rename(
            f"{folder}/{CURRENT}",
            f"{folder}/{stem}{SUFFIX}",
            src_dir_fd=self.log_dir,
            dst_dir_fd=self.log_dir,
        )
        self._newest = stem
        try:
            self._sync.closed(self.name, fd)
        finally:
            self._descriptors.drop(self.name)
            self._sound, self._born = False, None
            self._closed(self.name)


def _write_all(fd: int, batch: bytes) -> None:
    view = memoryview(batch)
    while view:
        written = os.write(fd, view)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        view = view[written:]
