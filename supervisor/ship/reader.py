"""Records of one folder from a place on, chosen and named.

Laws: records come in the order in which they were written, whole lines only. Where segments have been removed
unread there is a gap, and what `seq` tells of it is counted. A place that does not hold what it should, because
the machine crashed, is not believed: its segment is read again.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import NamedTuple

from supervisor.logs import segments
from supervisor.logs.segment import Mark, Segment, open_segment
from supervisor.ship.ahead import Current, Found, ahead
from supervisor.ship.cursor import Place, Seen
from supervisor.ship.record import Head, Record, head_of, identity

#: Bytes of records that are looked at without giving way.
PIECE = 32 << 10


class Gap(NamedTuple):
    """`lines` of output removed unread, and more than these where `at_least`; between the `ts` of two records."""

    lines: int
    at_least: bool
    since: str
    until: str


class Block(NamedTuple):
    """Whole lines of one segment, from `offset` on; `lost`: what was before them is gone."""

    mark: Mark
    offset: int
    lost: bool
    data: bytes


class Chunk(NamedTuple):
    """Records that are wanted, of `looked` bytes; `place` is behind the last one looked at."""

    records: list[Record]
    place: Place
    looked: int
    gap: Gap | None = None


def fetch(log_dir: int, name: str, place: Place | None, limit: int, now: Current | None) -> Block | None:
    """About `limit` bytes of what comes next; None when there is nothing (yet). Without a place, from the oldest on."""
    for found in ahead(log_dir, name, place, now):
        data = _lines(found, limit)
        if data:
            return Block(found.mark, found.offset, found.lost, data)
    return None


def pieces(block: Block, size: int = PIECE) -> Iterator[Block]:
    """The same in parts of about `size` bytes."""
    at = 0
    while at < len(block.data):
        cut = block.data.rfind(b"\n", at, at + size) + 1 or block.data.index(b"\n", at) + 1
        yield Block(block.mark, block.offset + at, block.lost and not at, block.data[at:cut])
        at = cut


def choose(block: Block, place: Place | None, takes: Callable[[Head], bool], most: int) -> Chunk:
    """The records of a block behind `place`, of those that are wanted no more than `most`."""
    records: list[Record] = []
    before = place.seen if place is not None else {}
    since = place.ts if place is not None else ""
    seen = dict(before)
    first: Head | None = None
    last: Head | None = None
    missing, offset = 0, block.offset
    for raw in block.data.split(b"\n")[:-1]:
        if len(records) == most:
            break
        head = head_of(raw)
        if head is not None:
            first, last = first or head, head
            if head.seq:
                missing += _missing(head, seen.get(head.stream))
                seen[head.stream] = Seen(head.run, head.seq)
            if takes(head):
                records.append(Record(raw, head, identity(head, block.mark.stem, offset)))
        offset += len(raw) + 1
    after = Place(*block.mark, offset, last.ts if last is not None else since, seen)
    gap = None
    if missing or block.lost:
        known = first is not None and first.run in {one.run for one in before.values()}
        gap = Gap(missing, block.lost and not known, since, first.ts if first is not None else since)
    return Chunk(records, after, offset - block.offset, gap)


def end(log_dir: int, name: str) -> Place | None:
    """Behind the last whole record there is; None where there is none."""
    for entry in reversed(segments.entries(log_dir, name)):
        segment = open_segment(log_dir, name, entry)
        if segment is None:
            continue
        with closing(segment):
            size = segments.whole_size(segment, segment.size())
            if segment.mark is not None and size:
                return Place(*segment.mark, size, _last_ts(segment, size))
    return None


def trusted(log_dir: int, name: str, place: Place, now: Current | None) -> Place:
    """A place as it was saved, or the beginning of its segment if other records are there now."""
    for found in ahead(log_dir, name, place, now):
        if found.mark != (place.stem, place.check):
            break  # it is gone: a gap, if anything
        inside = place.offset <= found.size
        if not inside or _last_ts(found.segment, place.offset) != place.ts:
            return Place(place.stem, place.check, 0)
        break
    return place


def _missing(head: Head, before: Seen | None) -> int:
    if before is None:
        return 0
    return max(0, head.seq - 1 - (before.seq if before.run == head.run else 0))


def _lines(found: Found, limit: int) -> bytes:
    """Whole lines: about `limit` bytes, or one line that is longer; b"" if there is none."""
    room = max(0, found.size - found.offset)
    while True:
        block = found.segment.pread(min(limit, room), found.offset)
        whole = block.rfind(b"\n") + 1
        if whole or limit >= room:
            return block[:whole]
        limit *= 2


def _last_ts(segment: Segment, before: int) -> str:
    for raw in segments.backwards(segment, before):
        head = head_of(raw)
        return head.ts if head is not None else ""
    return ""
