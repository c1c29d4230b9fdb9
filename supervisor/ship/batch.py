"""The next batch of a sink, gathered from one folder after another.

Laws: it holds about `bytes` bytes and at most `records` records; however little of it is wanted, no more than
LOOKED times that many bytes are looked at. Folders take turns: what is left of one comes after the others. One
that cannot be read holds up none of the others. Everybody else gets a turn after each PIECE.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import trio

from supervisor.ship.cursor import Cursor, Place
from supervisor.ship.reader import Block, Gap, choose, pieces
from supervisor.ship.record import Head, Record

LOOKED = 8

#: Folder, place, bytes → what comes next there, as reader.fetch has it.
Fetch = Callable[[str, Place | None, int], Awaitable[Block | None]]


class Bounds(NamedTuple):
    bytes: int
    records: int


class Batch(NamedTuple):
    """`places` are those after it. `left` may have more to read, in this order; `gaps` pair a folder with a gap,
    `unreadable` one with why.
    """

    records: list[Record]
    places: dict[str, Place]
    left: list[str]
    gaps: list[tuple[str, Gap]]
    unreadable: list[tuple[str, str]]


async def gather(
    fetch: Fetch, names: Sequence[str], cursor: Cursor, takes: Callable[[Head], bool], bounds: Bounds
) -> Batch:
    """From the places of `cursor` on."""
    batch = Batch([], {}, list(names), [], [])
    room, looks = bounds.bytes, bounds.bytes * LOOKED
    while batch.left:
        name = batch.left[0]
        place = batch.places.get(name) or cursor.places.get(name)
        try:
            block = await fetch(name, place, max(1, min(room, looks)))
        except OSError as error:  # a segment that is damaged: it waits for a person, or for retention
            batch.unreadable.append((name, error.strerror or str(error)))
            block = None
        if block is None:
            batch.left.pop(0)
            continue
        for piece in pieces(block):
            chunk = choose(piece, place, takes, bounds.records - len(batch.records))
            if chunk.gap is not None:
                batch.gaps.append((name, chunk.gap))
            place = batch.places[name] = chunk.place
            batch.records.extend(chunk.records)
            looks -= chunk.looked
            room -= sum(len(record.raw) for record in chunk.records)
            await trio.lowlevel.checkpoint()
            if len(batch.records) >= bounds.records:
                break
        if room <= 0 or looks <= 0 or len(batch.records) >= bounds.records:
            batch.left.append(batch.left.pop(0))
            break
    return batch
