"""How far a sink has come, in every folder of records: plain values, as JSON on disk.

Laws: a place is a segment's mark and an offset in it, so it survives rotation, compression and restarts. What
cannot be decoded is no cursor: shipping then begins anew, for a record twice is better than none.
"""

from typing import NamedTuple

import msgspec


class Seen(NamedTuple):
    """The last record read of one stream."""

    run: int
    seq: int


class Place(msgspec.Struct, frozen=True):
    """Behind the last record shipped of one folder; `stem` and `check` are its segment's mark, `ts` the record's.

    `seen` tells by stream what came last, so that a gap is noticed.
    """

    stem: str
    check: int
    offset: int
    ts: str = ""
    seen: dict[str, Seen] = {}


class Cursor(msgspec.Struct, frozen=True):
    """`shipped` and `dropped` count records since there is a cursor, refused ones among the dropped; a folder without a place has not been begun."""

    shipped: int = 0
    dropped: int = 0
    places: dict[str, Place] = {}

    def moved(self, places: dict[str, Place], shipped: int = 0, dropped: int = 0) -> "Cursor":
        """After a batch."""
        return Cursor(self.shipped + shipped, self.dropped + dropped, self.places | places)


_decoder = msgspec.json.Decoder(Cursor)


def encode(cursor: Cursor) -> bytes:
    return msgspec.json.encode(cursor)


def decode(data: bytes) -> Cursor:
    """ValueError if it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise ValueError(str(error)) from None
