"""The next batch of a sink, gathered from one folder after another.

Laws: it holds about `bytes` bytes and at most `records` records; however little of it is wanted, no more than
LOOKED times that many bytes are looked at. Folders take turns: what is left of one comes after the others. One
that cannot be read holds up none of the others.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from supervisor.ship import reader
from supervisor.ship.cursor import Cursor, Place
from supervisor.ship.reader import Bounds, Gap
from supervisor.ship.record import Head, Record

LOOKED = 8


class Batch(NamedTuple):
    """`places` are those after it. `left` may have more to read, in this order; `gaps` pair a folder with a gap,
    `unreadable` one with why.
    """

    records: list[Record]
    places: dict[str, Place]
    left: list[str]
    gaps: list[tuple[str, Gap]]
    unreadable: list[tuple[str, str]]


def gather(
    log_dir: int, names: Sequence[str], cursor: Cursor, takes: Callable[[Head], bool], bounds: Bounds
) -> Batch:
    """From the places of `cursor` on."""
    batch = Batch([], {}, list(names), [], [])
    room, looks = bounds.bytes, bounds.bytes * LOOKED
    while batch.left:
        name = batch.left[0]
        place = batch.places.get(name) or cursor.places.get(name)
        rest = Bounds(max(1, min(room, looks)), bounds.records - len(batch.records))
        try:
            chunk = reader.read(log_dir, name, place, takes, rest)
        except OSError as error:  # a segment that is damaged: it waits for a person, or for retention
            batch.unreadable.append((name, error.strerror or str(error)))
            batch.left.pop(0)
            continue
        if chunk.gap is not None:
            batch.gaps.append((name, chunk.gap))
        if not chunk.looked or chunk.place is None:
            batch.left.pop(0)
            continue
        batch.places[name] = chunk.place
        batch.records.extend(chunk.records)
        looks -= chunk.looked
        room -= sum(len(record.raw) for record in chunk.records)
        if room <= 0 or looks <= 0 or len(batch.records) >= bounds.records:
            batch.left.append(batch.left.pop(0))
            break
    return batch
