"""One folder's records in blocks, forwards or backwards, however large it is.

Laws: a block is whole lines, in the order in which they were written, and blocks come one after the other;
nothing is read before it is asked for, and no more than about `most` bytes at once, or one frame of a compressed segment
(`lean`: not even that is kept, at the price of decompressing it for each block). A segment is
held open while it is read, so it may be closed, compressed or dropped meanwhile; what was dropped before
is passed over. Who walks forwards comes to an exact place, at which a Cursor may go on.
A segment that is damaged is walked as far as it can be read, as if there were no more of it; `damages` hears of it.
With a time, segments and blocks that cannot hold it are left out, never a record of it; blocks may begin
before and end behind it. (The time of a folder's records is taken not to decrease.)
"""

import errno
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator
from contextlib import closing

from supervisor.logs import segments
from supervisor.logs.damage import Damages
from supervisor.logs.frames import moved
from supervisor.logs.halving import first_at
from supervisor.logs.segment import CURRENT, SUFFIX, Compressed, Mark, Salvaged, Segment, open_segment
from supervisor.logs.stamp import LENGTH, file_stem

#: Of the first block; the next is twice as large.
FIRST = 1 << 16
MOST = 1 << 19
_TS = slice(7, 7 + LENGTH)


class _Walk:
    """`offset` is where the next block of the segment at hand begins, or ends."""

    def __init__(
        self,
        log_dir: int,
        name: str,
        *,
        since: str | None = None,
        until: str | None = None,
        most: int = MOST,
        lean: bool = False,
        damages: Damages | None = None,
    ) -> None:
        self.offset = 0
        self._log_dir = log_dir
        self._name = name
        self._since = since
        self._until = until
        self._most = most
        self._lean = lean
        self._damages = damages or Damages()
        self._size = min(FIRST, most)
        self._begun = False  # `offset` is one of the segment at hand
        self._done = False

    def _segment(self, segment: Segment | None) -> Iterator[bytes]:
        """Its blocks; of one that turns out to be damaged, those that can be read."""
        if segment is None:
            return
        self._begun = False
        with closing(segment):
            try:
                yield from self._blocks(segment)
            except OSError as error:
                error.filename = error.filename or f"{self._name}/{segment.entry}"
                rest = self._damages.rest(self._log_dir, self._name, segment, error)
            else:
                return
            if rest is not None:
                yield from self._rest(segment, rest)

    def _rest(self, segment: Segment, rest: Salvaged) -> Iterator[bytes]:
        with closing(rest):
            if self._begun and isinstance(segment, Compressed):
                self.offset = moved(self.offset, segment.table, rest.table)
            yield from self._blocks(rest)

    def _blocks(self, segment: Segment) -> Iterator[bytes]:
        raise NotImplementedError


class Forwards(_Walk):
    """`mark` and `offset` say up to where it has come; None while nothing has been read."""

    mark: Mark | None = None

    def __iter__(self) -> Iterator[bytes]:
        stems = self._from_since()
        newest = ""
        while True:
            for stem in stems:
                newest = stem
                yield from self._segment(self._damages.opened(self._log_dir, self._name, stem + SUFFIX))
                if self._done:
                    return
            current = open_segment(self._log_dir, self._name, CURRENT)
            stems = [stem for stem in segments.closed(self._log_dir, self._name) if stem > newest]
            if not stems:  # nothing was closed before `current` was opened
                yield from self._segment(current)
                return
            if current is not None:
                current.close()

    def _from_since(self) -> list[str]:
        """The closed segments that may hold something."""
        current = None if self._since is None else open_segment(self._log_dir, self._name, CURRENT)
        began = ""
        if current is not None:
            began = current.stem
            current.close()
        stems = segments.closed(self._log_dir, self._name)
        if self._since is None:
            return stems
        since = file_stem(self._since)
        if began and began <= since:  # it may have been closed by now
            return [stem for stem in stems if stem >= began]
        at = bisect_right(stems, since) - 1
        while at > 0 and "~" in stems[at]:  # the clock had been set back: its name is later than its records
            at -= 1
        return stems[max(at, 0) :]

    def _rest(self, segment: Segment, rest: Salvaged) -> Iterator[bytes]:
        yield from super()._rest(segment, rest)
        if not self._done:
            self.offset = segment.size()  # for who goes on from here, nothing of it is left

    def _blocks(self, segment: Segment) -> Iterator[bytes]:
        end = _whole(segment)
        if segment.mark is None:
            return
        if not self._begun:
            self.mark, self.offset = segment.mark, self._begin(segment, end)
            self._begun = True
        while self.offset < end and not self._done:
            block = _ahead(segment, self.offset, end, self._size, lean=self._lean)
            if not block:
                return  # it has been cut back
            self.offset += len(block)
            self._size = min(2 * self._size, self._most)
            self._done = self._until is not None and _last_ts(block) >= self._until.encode()
            yield block

    def _begin(self, segment: Segment, end: int) -> int:
        if self._since is None or segment.pread(_TS.stop, 0)[_TS] >= self._since.encode():
            return 0
        return first_at(segment, self._since, end)


def backwards(
    log_dir: int,
    name: str,
    *,
    since: str | None = None,
    until: str | None = None,
    before: tuple[Mark | None, int] | None = None,
    most: int = MOST,
    lean: bool = False,
    damages: Damages | None = None,
) -> Generator[bytes]:
    """The newest block first, lines in it as they were written. What lies behind `before` is left out."""
    if before is None or before[0] is not None:
        walk = _Backwards(log_dir, name, since=since, until=until, most=most, lean=lean, damages=damages)
        walk.before = before
        yield from walk


class _Backwards(_Walk):
    """`before` is None also where it has been met, and so is `_until` where it has been passed."""

    before: tuple[Mark | None, int] | None = None

    def __iter__(self) -> Iterator[bytes]:
        for segment in newest_first(self._log_dir, self._name, self._damages):
            yield from self._segment(segment)
            if self._done:
                return

    def _blocks(self, segment: Segment) -> Iterator[bytes]:
        if not self._begun and not self._begin(segment):
            return
        while self.offset > 0 and not self._done:
            block = _behind(segment, self.offset, self._size, lean=self._lean)
            self.offset -= len(block)
            self._size = min(2 * self._size, self._most)
            self._done = self._since is not None and block[_TS] < self._since.encode()
            yield block

    def _begin(self, segment: Segment) -> bool:
        """Where to; False if all of it lies behind `before`."""
        end = _whole(segment)
        if self.before is not None:
            if segment.mark != self.before[0]:
                return False
            end = min(self.before[1], end)
        if self._until is not None:
            end = first_at(segment, self._until, end)
        self.offset, self._begun, self.before = end, True, None
        if end > 0:
            self._until = None
        return True


def newest_first(log_dir: int, name: str, damages: Damages | None = None) -> Iterator[Segment]:
    """The segments of a folder, none twice and none left out; each is the caller's to close."""
    heard = damages or Damages()
    while True:
        stems = segments.closed(log_dir, name)
        current = open_segment(log_dir, name, CURRENT)
        if segments.closed(log_dir, name)[-1:] == stems[-1:]:  # none was closed in between
            break
        if current is not None:
            current.close()
    if current is not None:
        yield current
    for stem in reversed(stems):
        segment = heard.opened(log_dir, name, stem + SUFFIX)
        if segment is not None:
            yield segment


def _whole(segment: Segment) -> int:
    """Where its last whole line ends."""
    size = segment.size()
    return size if size and segment.pread(1, size - 1) == b"\n" else segments.whole_size(segment, size)


def _ahead(segment: Segment, start: int, end: int, size: int, *, lean: bool) -> bytes:
    """A block from `start` on; b"" if there is no whole line."""
    frames = segment.frames()
    if len(frames) > 1 and not lean:
        at = bisect_right(frames, start)
        size = (frames[at] if at < len(frames) else end) - start
    while True:
        block = segment.pread(min(size, end - start), start)
        whole = block.rfind(b"\n") + 1
        if whole or len(block) < size:
            break
        size *= 2
    if lean:
        segment.forget()
    return block if whole == len(block) else block[:whole]


def _behind(segment: Segment, end: int, size: int, *, lean: bool) -> bytes:
    """The block before `end`, which is where a line ends."""
    frames = segment.frames()
    by_frame = len(frames) > 1 and not lean
    if by_frame:
        size = end - frames[bisect_left(frames, end) - 1]
    while True:
        start = max(0, end - size)
        block = segment.pread(end - start, start)
        if len(block) < end - start:
            raise OSError(errno.EIO, "it became shorter while it was read")
        cut = 0 if start == 0 or by_frame else block.find(b"\n") + 1
        if cut < len(block):
            break
        size *= 2
        by_frame = False
    if lean:
        segment.forget()
    return block[cut:] if cut else block


def _last_ts(block: bytes) -> bytes:
    start = block.rfind(b"\n", 0, len(block) - 1) + 1
    return block[start:][_TS]
