"""Records of one folder from a place on, chosen and named.

Laws: records come in the order in which they were written, whole lines only. Where segments have been removed
unread there is a gap, and what `seq` tells of it is counted. A place that does not hold what it should, because
the machine crashed, is not believed: its segment is read again.
"""

from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from supervisor.logs import segments
from supervisor.logs.segment import Segment, open_segment
from supervisor.ship.ahead import Found, ahead
from supervisor.ship.cursor import Place, Seen
from supervisor.ship.record import Head, Record, head_of, identity


class Bounds(NamedTuple):
    """About so many bytes, and at most so many records."""

    bytes: int
    records: int


class Gap(NamedTuple):
    """`lines` of output removed unread, and more than these where `at_least`; between the `ts` of two records."""

    lines: int
    at_least: bool
    since: str
    until: str


class Chunk(NamedTuple):
    """Records that are wanted, of `looked` bytes; `place` is behind the last one looked at."""

    records: list[Record]
    place: Place | None
    looked: int
    gap: Gap | None = None


def read(
    log_dir: int, name: str, place: Place | None, takes: Callable[[Head], bool], bounds: Bounds
) -> Chunk:
    """What comes next, of records that are wanted no more than `bounds.records`; without a place, from the oldest on.

    `looked` is 0 when there are none (yet).
    """
    for found in ahead(log_dir, name, place):
        data = _lines(found.segment, found.offset, bounds.bytes)
        if data:
            return _choose(found, data, place, takes, bounds.records)
    return Chunk([], place, 0)


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


def trusted(log_dir: int, name: str, place: Place) -> Place:
    """A place as it was saved, or the beginning of its segment if other records are there now."""
    for found in ahead(log_dir, name, place):
        if found.mark != (place.stem, place.check):
            break  # it is gone: a gap, if anything
        inside = place.offset <= found.segment.size()
        if not inside or _last_ts(found.segment, place.offset) != place.ts:
            return Place(place.stem, place.check, 0)
        break
    return place


def _choose(
    found: Found, data: bytes, place: Place | None, takes: Callable[[Head], bool], most: int
) -> Chunk:
    records: list[Record] = []
    seen = dict(place.seen) if place is not None else {}
    before = dict(seen)
    heads: list[Head] = []
    missing, offset = 0, found.offset
    for raw in data.split(b"\n")[:-1]:
        if len(records) == most:
            break
        head = head_of(raw)
        if head is not None:
            heads = [*heads[:1], head]
            if head.seq:
                missing += _missing(head, seen.get(head.stream))
                seen[head.stream] = Seen(head.run, head.seq)
            if takes(head):
                records.append(Record(raw, head, identity(head, found.mark.stem, offset)))
        offset += len(raw) + 1
    since = place.ts if place is not None else ""
    after = Place(*found.mark, offset, heads[-1].ts if heads else since, seen)
    gap = None
    if missing or found.lost:
        unsure = found.lost and not (heads and heads[0].run in {one.run for one in before.values()})
        gap = Gap(missing, unsure, since, heads[0].ts if heads else since)
    return Chunk(records, after, offset - found.offset, gap)


def _missing(head: Head, before: Seen | None) -> int:
    if before is None:
        return 0
    return max(0, head.seq - 1 - (before.seq if before.run == head.run else 0))


def _lines(segment: Segment, offset: int, limit: int) -> bytes:
    """Whole lines from `offset` on: about `limit` bytes, or one line that is longer; b"" if there is none."""
    while True:
        block = segment.pread(limit, offset)
        whole = block.rfind(b"\n") + 1
        if whole or len(block) < limit:
            return block[:whole]
        limit *= 2


def _last_ts(segment: Segment, before: int) -> str:
    for raw in segments.backwards(segment, before):
        head = head_of(raw)
        return head.ts if head is not None else ""
    return ""
