"""A batch that a receiver does not take for its content, carried in parts until what it refuses is alone.

Laws: a record is refused only while others of its batch are taken, so that a receiver that refuses everything,
because it is not what it was taken for, makes nobody lose anything; and so that no container can stop a sink by
one record that its receiver does not like.
"""

from collections.abc import Awaitable, Callable

from supervisor.ship.carrier import ContentError, Refused
from supervisor.ship.record import Record

#: So many refused, none taken: it is not the records.
ENOUGH = 32

Carry = Callable[[list[Record]], Awaitable[Refused | None]]


async def carry(records: list[Record], send: Carry) -> Refused | None:
    """`send` a batch. Raises what `send` raises, ContentError only if nothing at all was taken."""
    parts, taken, refused, why = [records], 0, 0, ""
    while parts:
        part = parts.pop(0)
        try:
            some = await send(part)
        except ContentError as error:
            if len(part) > 1:
                half = len(part) // 2
                parts[:0] = [part[:half], part[half:]]
                continue
            refused, why = refused + 1, why or str(error)
            if not taken and (refused == ENOUGH or not parts):
                raise
        else:
            taken += len(part)
            if some is not None:
                refused, why = refused + some.records, why or some.why
    return Refused(refused, why) if refused else None
