"""One segment of a folder, to be read: plain or compressed, the reader need not know.

Laws: offsets are those of the records as they were written. What is read of a compressed segment
is decompressed frame by frame, the last frame is kept. A segment's `mark` is made of its first
record, so it is the same after it was closed, and after it was compressed.
"""

import os
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from supervisor.logs import frames
from supervisor.logs.frames import FORMATS, Format, Frame
from supervisor.logs.stamp import LENGTH, file_stem

CURRENT = "current.jsonl"
SUFFIX = ".jsonl"
_TS = slice(7, 7 + LENGTH)  # of a record: behind '{"ts":"'
#: As much of the first record as its mark is made of; `seq` is well within.
_HEAD = 4096


class Mark(NamedTuple):
    """Which segment it is: the first record's time, as file names spell it, and a checksum of the record."""

    stem: str
    check: int


class Segment:
    """A plain one. The descriptor is its own once it is made."""

    def __init__(self, fd: int, entry: str) -> None:
        self._fd = fd
        self._entry = entry
        self._mark: Mark | None = None

    @property
    def mark(self) -> Mark | None:
        """None while there is no whole record."""
        if self._mark is None:
            head = self.pread(_HEAD, 0)
            first = head.partition(b"\n")[0]
            if _TS.stop <= len(first) and (len(first) < len(head) or len(head) == _HEAD):
                self._mark = Mark(file_stem(first[_TS].decode("ascii", "replace")), zlib.crc32(first))
        return self._mark

    @property
    def stem(self) -> str:
        """Its name without suffix once closed; before, what it would be called. "" while it is empty."""
        if self._entry != CURRENT:
            return self._entry.partition(SUFFIX)[0]
        return self.mark.stem if self.mark is not None else ""

    @property
    def entry(self) -> str:
        """Its name in the folder when it was opened."""
        return self._entry

    @property
    def suffix(self) -> str:
        """Of its name: how it is compressed."""
        return self._entry[self._entry.index(SUFFIX) :]

    def fileno(self) -> int:
        return self._fd

    def size(self) -> int:
        """As of now: the current one grows."""
        return os.fstat(self._fd).st_size

    def pread(self, count: int, offset: int) -> bytes:
        """At most `count` bytes; fewer only at the end."""
        return os.pread(self._fd, count, offset)

    def frames(self) -> Sequence[int]:
        """Offsets at which reading costs nothing that lies before."""
        return (0,)

    def forget(self) -> None:
        """Let go of what is kept in memory; it is read again when it is needed."""

    def close(self) -> None:
        os.close(self._fd)


class Compressed(Segment):
    """OSError where it is damaged."""

    def __init__(self, fd: int, entry: str, form: Format) -> None:
        super().__init__(fd, entry)
        self._form = form
        found = frames.table(form, fd)
        self._kept: tuple[int, bytes] = (-1, b"")
        if found is None:  # of somebody else's making: one frame, whose size is known once it is read
            length = os.fstat(fd).st_size
            self._kept = (0, frames.unpack(form, os.pread(fd, length, 0)))
            found = [Frame(0, length, 0, len(self._kept[1]))]
        self.table = found
        self._starts = [frame.start for frame in found]

    def sound(self) -> bool:
        """Whether it has our table, which comes last: if so, nothing is missing at its end."""
        return bool(self.table) and self._kept[0] < 0

    def size(self) -> int:
        last = self.table[-1] if self.table else Frame(0, 0, 0, 0)
        return last.start + last.size

    def pread(self, count: int, offset: int) -> bytes:
        parts = []
        while count > 0 and offset < self.size():
            number = bisect_right(self._starts, offset) - 1
            start = offset - self._starts[number]
            parts.append(self._frame(number)[start : start + count])
            count -= len(parts[-1])
            offset += len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def frames(self) -> Sequence[int]:
        return self._starts

    def forget(self) -> None:
        self._kept = (-1, b"")

    def _frame(self, number: int) -> bytes:
        if self._kept[0] != number:
            frame = self.table[number]
            packed = os.pread(self._fd, frame.length, frame.at)
            self._kept = (number, frames.unpack(self._form, packed, frame.size))
        return self._kept[1]


class Salvaged(Compressed):
    """Of a damaged one what can be read, as if there had never been more."""

    def __init__(self, fd: int, entry: str, form: Format) -> None:
        Segment.__init__(self, fd, entry)
        self._form = form
        self._kept = (-1, b"")
        self.table, self.wrong = frames.salvage(form, fd)
        self._starts = [frame.start for frame in self.table]

    def _frame(self, number: int) -> bytes:
        if self._kept[0] != number:
            frame = self.table[number]
            self._kept = (number, frames.salvaged(self._form, os.pread(self._fd, frame.length, frame.at)))
        return self._kept[1]


def salvaged(log_dir: int, name: str, entry: str) -> Salvaged | None:
    """None if there is no such file (any more), or it is not compressed."""
    form = form_of(entry)
    fd = None if form is None else _open(log_dir, f"{name}/{entry}")
    if fd is None or form is None:
        return None
    try:
        return Salvaged(fd, entry, form)
    except BaseException:
        os.close(fd)
        raise


def form_of(entry: str) -> Format | None:
    """How a file of this name is compressed; None: it is not."""
    return next((form for form in FORMATS if entry.endswith(form.suffix)), None)


def open_segment(log_dir: int, name: str, entry: str) -> Segment | None:
    """None if there is no such file (any more). A closed one that was compressed meanwhile is found."""
    candidates = [entry]
    if entry != CURRENT and entry.endswith(SUFFIX):
        candidates += [entry.removesuffix(SUFFIX) + form.suffix for form in FORMATS]
    for candidate in candidates:
        fd = _open(log_dir, f"{name}/{candidate}")
        if fd is None:
            continue
        try:
            form = form_of(candidate)
            return Segment(fd, candidate) if form is None else Compressed(fd, candidate, form)
        except BaseException as error:
            if isinstance(error, OSError):
                error.filename = error.filename or f"{name}/{candidate}"
            os.close(fd)
            raise
    return None


def _open(log_dir: int, path: str) -> int | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags, dir_fd=log_dir)
    except FileNotFoundError:
        return None
