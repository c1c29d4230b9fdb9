"""Reading records back: the last ones, and those that follow.

Laws: records come as they are stored, one JSON text each, without newline. Merged over
containers by `ts`; of one folder, in the order in which they were written. The last n are read
from the end, block by block. A cursor survives rotation and compression: it is a segment's mark and
an offset, and holds no descriptor, so that thousands may be followed.
"""

import heapq
from collections.abc import Iterable, Iterator
from itertools import islice

import msgspec

from supervisor.logs import segments
from supervisor.logs.archive import SUPERVISOR
from supervisor.logs.segment import CURRENT, SUFFIX, Mark, Segment, open_segment
from supervisor.logs.stamp import LENGTH

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
    seen: Mark | None = None
    if before is not None and before.mark is None:
        return  # all of it is the cursor's
    skipping = before is not None
    for entry in entries_backwards(log_dir, name):
        segment = open_segment(log_dir, name, entry)
        if segment is None:
            continue
        try:
            end = segment.size()
            if segment.mark is not None and segment.mark == seen:  # closed after it was read as current.jsonl
                continue
            seen = segment.mark
            if skipping and before is not None:
                if segment.mark != before.mark:
                    continue
                skipping, end = False, before.offset
            yield from segments.backwards(segment, end)
        finally:
            segment.close()


def entries_backwards(log_dir: int, name: str) -> Iterator[str]:
    """Lazily: most tails need current.jsonl only. A folder that is not there has no records."""
    yield CURRENT
    for stem in reversed(_closed(log_dir, name)):
        yield stem + SUFFIX


def _closed(log_dir: int, name: str) -> list[str]:
    try:
        return segments.closed(log_dir, name)
    except FileNotFoundError:
        return []


class Cursor:
    """A place in one folder; starts at the end of what there is, or at the very beginning.

    Records that were dropped before they were read are passed over.
    """

    def __init__(self, log_dir: int, name: str, *, start: bool = False) -> None:
        self.name = name
        self.mark: Mark | None = None  # None: nothing has been read, everything is ahead
        self.offset = 0
        self._log_dir = log_dir
        if start:
            return
        for entry in entries_backwards(log_dir, name):  # current.jsonl may be empty or not there
            segment = open_segment(log_dir, name, entry)
            if segment is None:
                continue
            try:
                self.mark = segment.mark
                self.offset = segments.whole_size(segment, segment.size())
            finally:
                segment.close()
            if self.mark is not None:
                break

    def read(self, limit: int = 1 << 20) -> list[bytes]:
        """Records since the last call, about `limit` bytes of them at most; [] if there are none."""
        current = open_segment(self._log_dir, self.name, CURRENT)
        if current is not None:
            try:
                if self.mark is not None and current.mark == self.mark:
                    return self._advance(current, limit)
            finally:
                current.close()
        return self._read_on(limit)

    def _read_on(self, limit: int) -> list[bytes]:
        """The segment has been closed, or none was begun: its rest, then those after it."""
        stems = _closed(self._log_dir, self.name)
        for entry in [*(stem + SUFFIX for stem in self._from_here(stems)), CURRENT]:
            segment = open_segment(self._log_dir, self.name, entry)
            if segment is None:
                continue
            try:
                here = segment.mark
                if entry == CURRENT and _closed(self._log_dir, self.name) != stems:
                    return self._read_on(limit)  # closed one more meanwhile
                if here is None:
                    continue
                if here != self.mark:
                    self.mark, self.offset = here, 0
                records = self._advance(segment, limit)
            finally:
                segment.close()
            if records:
                return records
        return []

    def _from_here(self, stems: list[str]) -> list[str]:
        if self.mark is None:
            return stems
        for index in range(len(stems) - 1, -1, -1):
            segment = open_segment(self._log_dir, self.name, stems[index] + SUFFIX)
            if segment is None:
                continue
            here = segment.mark
            segment.close()
            if here == self.mark:
                return stems[index:]
        return [stem for stem in stems if stem > self.mark.stem]  # it has been dropped

    def _advance(self, segment: Segment, limit: int) -> list[bytes]:
        block = segment.pread(limit, self.offset)
        end = block.rfind(b"\n") + 1
        while not end and len(block) == limit:  # one record larger than the limit
            limit *= 2
            block = segment.pread(limit, self.offset)
            end = block.rfind(b"\n") + 1
        self.offset += end
        return block[:end].split(b"\n")[:-1]
