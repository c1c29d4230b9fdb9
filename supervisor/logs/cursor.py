"""A place in one folder of records, from which what follows is read.

Laws: nothing is skipped or read twice, over closing, compression and restarts of whoever writes; what was dropped before
it was read is passed over, and so is the rest of a damaged segment (`damages` hears of it). A place is a segment's mark and an offset, and holds no descriptor, so that
thousands may be followed.
"""

from typing import Self

from supervisor.logs import segments
from supervisor.logs.damage import Damages
from supervisor.logs.segment import CURRENT, SUFFIX, Mark, Segment, open_segment


class Cursor:
    """Starts at the end of what there is, or at the very beginning."""

    def __init__(
        self, log_dir: int, name: str, *, start: bool = False, damages: Damages | None = None
    ) -> None:
        self.name = name
        self.mark: Mark | None = None  # None: nothing has been read, everything is ahead
        self.offset = 0
        self._log_dir = log_dir
        self._damages = damages or Damages()
        if start:
            return
        for entry in segments.entries_backwards(log_dir, name):  # current.jsonl may be empty or not there
            with self._damages.passed_over(log_dir, name, entry) as segment:
                if segment is None:
                    continue
                self.mark, self.offset = segment.mark, segment.size()
                self.offset = segments.whole_size(segment, self.offset)
            if self.mark is not None:
                break

    @classmethod
    def at(
        cls, log_dir: int, name: str, mark: Mark | None, offset: int, damages: Damages | None = None
    ) -> Self:
        """Where a walk came to."""
        made = cls(log_dir, name, start=True, damages=damages)
        made.mark, made.offset = mark, offset
        return made

    def read(self, limit: int = 1 << 20) -> bytes:
        """The whole lines since the last call, about `limit` bytes of them at most; b"" if there are none."""
        current = open_segment(self._log_dir, self.name, CURRENT)
        if current is not None:
            try:
                if self.mark is not None and current.mark == self.mark:
                    return self._advance(current, limit)
            finally:
                current.close()
        return self._read_on(limit)

    def _read_on(self, limit: int) -> bytes:
        """The segment has been closed, or none was begun: its rest, then those after it."""
        stems = segments.closed(self._log_dir, self.name)
        for entry in [*(stem + SUFFIX for stem in self._from_here(stems)), CURRENT]:
            block = b""
            with self._damages.passed_over(self._log_dir, self.name, entry) as segment:
                if segment is None:
                    continue
                here = segment.mark
                if entry == CURRENT and segments.closed(self._log_dir, self.name)[-1:] != stems[-1:]:
                    return self._read_on(limit)  # closed one more meanwhile
                if here is None:
                    continue
                if here != self.mark:
                    self.mark, self.offset = here, 0
                block = self._advance(segment, limit)
            if block:
                return block
        return b""

    def _from_here(self, stems: list[str]) -> list[str]:
        if self.mark is None:
            return stems
        for index in range(len(stems) - 1, -1, -1):
            with self._damages.passed_over(self._log_dir, self.name, stems[index] + SUFFIX) as segment:
                if segment is not None and segment.mark == self.mark:
                    return stems[index:]
        return [stem for stem in stems if stem > self.mark.stem]  # it has been dropped

    def _advance(self, segment: Segment, limit: int) -> bytes:
        self._realign(segment)
        block = segment.pread(limit, self.offset)
        end = block.rfind(b"\n") + 1
        while not end and len(block) == limit:  # one record larger than the limit
            limit *= 2
            block = segment.pread(limit, self.offset)
            end = block.rfind(b"\n") + 1
        self.offset += end
        return block[:end]

    def _realign(self, segment: Segment) -> None:
        """A batch that could not be written whole is cut off again: if some of it has been read, go on where it began."""
        size = segment.size()
        if self.offset > size or (self.offset and segment.pread(1, self.offset - 1) != b"\n"):
            self.offset = segments.whole_size(segment, min(self.offset, size))
