"""Reading records back: the last ones, and those that follow.

Laws: records come as they are stored, one JSON text each, without newline. Merged over
containers by `ts`; of one folder, in the order in which they were written. The last n are read
from the end, block by block. A cursor survives rotation: it is a segment's first `ts` (its name,
once closed), its inode and an offset, and holds no descriptor, so that thousands may be followed.
"""

import heapq
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import msgspec

from supervisor.logs import segments
from supervisor.logs.archive import SUPERVISOR
from supervisor.logs.stamp import LENGTH, file_stem

_TS = slice(7, 7 + LENGTH)


class _Subject(msgspec.Struct):
    container: str | None = None


_subject = msgspec.json.Decoder(_Subject)


def tail(
    log_dir: int,
    names: Iterable[str],
    n: int,
    *,
    events: bool = False,
    cursors: "Iterable[Cursor]" = (),
) -> list[bytes]:
    """The last `n` records of `names`, oldest first.

    With `events`, the supervisor's own records about them too. What lies behind one of
    `cursors` is left to it: make the cursors, take the tail, then read the cursors.
    """
    names = tuple(dict.fromkeys(names))
    ends = {cursor.name: cursor for cursor in cursors}
    folders = [_folder(log_dir, name, ends.get(name)) for name in names]
    if events and SUPERVISOR not in names:
        about = frozenset(names)
        own = _folder(log_dir, SUPERVISOR, ends.get(SUPERVISOR))
        folders.append(record for record in own if concerns(record, about))
    last = list(islice(heapq.merge(*folders, key=lambda record: record[_TS], reverse=True), n))
    last.reverse()
    return last


def concerns(record: bytes, names: frozenset[str]) -> bool:
    """Whether a record of the supervisor is about one of `names`."""
    try:
        return _subject.decode(record).container in names
    except msgspec.MsgspecError:
        return False


def merge(batches: Iterable[list[bytes]]) -> list[bytes]:
    """What several cursors gave, by time."""
    return list(heapq.merge(*batches, key=lambda record: record[_TS]))


def _folder(log_dir: int, name: str, before: "Cursor | None") -> Iterator[bytes]:
    """Records of one folder, last first."""
    seen: int | None = None
    if before is not None and before.mark is None:
        return  # all of it is the cursor's
    skipping = before is not None
    for entry in entries_backwards(log_dir, name):
        fd = segments.open_segment(log_dir, name, entry)
        if fd is None:
            continue
        try:
            stat = os.fstat(fd)
            if stat.st_ino == seen:  # renamed after it was read as current.jsonl
                continue
            seen = stat.st_ino
            end = stat.st_size
            if skipping and before is not None:
                if mark(fd) != before.mark:
                    continue
                skipping, end = False, before.offset
            yield from segments.backwards(fd, end)
        finally:
            os.close(fd)


def entries_backwards(log_dir: int, name: str) -> Iterator[str]:
    """Lazily: most tails need current.jsonl only. A folder that is not there has no records."""
    yield segments.CURRENT
    for stem in reversed(_closed(log_dir, name)):
        yield stem + segments.SUFFIX


def _closed(log_dir: int, name: str) -> list[str]:
    try:
        return segments.closed(log_dir, name)
    except FileNotFoundError:
        return []


class Mark(NamedTuple):
    """Which segment it is, also after it was renamed: inodes are used again, first records are not."""

    inode: int
    stem: str


def mark(fd: int) -> Mark | None:
    """None while the segment has no record."""
    head = os.pread(fd, _TS.stop, 0)
    if len(head) < _TS.stop:
        return None
    return Mark(os.fstat(fd).st_ino, file_stem(head[_TS].decode("ascii", "replace")))


class Cursor:
    """A place in one folder; starts at the end of what there is, or at the very beginning.

    Records that were dropped or compressed before they were read are passed over.
    """

    def __init__(self, log_dir: int, name: str, *, start: bool = False) -> None:
        self.name = name
        self.mark: Mark | None = None  # None: nothing has been read, everything is ahead
        self.offset = 0
        self._log_dir = log_dir
        if start:
            return
        for entry in entries_backwards(log_dir, name):  # current.jsonl may be empty or not there
            fd = segments.open_segment(log_dir, name, entry)
            if fd is None:
                continue
            try:
                self.mark = mark(fd)
                self.offset = segments.whole_size(fd, os.fstat(fd).st_size)
            finally:
                os.close(fd)
            if self.mark is not None:
                break

    def read(self, limit: int = 1 << 20) -> list[bytes]:
        """Records since the last call, about `limit` bytes of them at most; [] if there are none."""
        current = segments.open_segment(self._log_dir, self.name, segments.CURRENT)
        if current is not None:
            try:
                if self.mark is not None and mark(current) == self.mark:
                    return self._advance(current, limit)
            finally:
                os.close(current)
        return self._read_on(limit)

    def _read_on(self, limit: int) -> list[bytes]:
        """The segment has been closed, or none was begun: its rest, then those after it."""
        stems = _closed(self._log_dir, self.name)
        for entry in [*(stem + segments.SUFFIX for stem in self._from_here(stems)), segments.CURRENT]:
            fd = segments.open_segment(self._log_dir, self.name, entry)
            if fd is None:
                continue
            try:
                here = mark(fd)
                if entry == segments.CURRENT and _closed(self._log_dir, self.name) != stems:
                    return self._read_on(limit)  # closed one more meanwhile
                if here is None:
                    continue
                if here != self.mark:
                    self.mark, self.offset = here, 0
                records = self._advance(fd, limit)
            finally:
                os.close(fd)
            if records:
                return records
        return []

    def _from_here(self, stems: list[str]) -> list[str]:
        if self.mark is None:
            return stems
        for index in range(len(stems) - 1, -1, -1):
            fd = segments.open_segment(self._log_dir, self.name, stems[index] + segments.SUFFIX)
            if fd is None:
                continue
            here = mark(fd)
            os.close(fd)
            if here == self.mark:
                return stems[index:]
        return [stem for stem in stems if stem > self.mark.stem]  # it has been dropped or compressed

    def _advance(self, fd: int, limit: int) -> list[bytes]:
        block = os.pread(fd, limit, self.offset)
        end = block.rfind(b"\n") + 1
        while not end and len(block) == limit:  # one record larger than the limit
            limit *= 2
            block = os.pread(fd, limit, self.offset)
            end = block.rfind(b"\n") + 1
        self.offset += end
        return block[:end].split(b"\n")[:-1]
