"""How a batch travels: a port, with an adapter for each type of sink.

Laws: `pack` gives way again and again (`gently`); `carry` returns only when the receiver has
taken the whole batch, as far as its protocol can tell, and raises ShipError, OSError or trio's own errors where
it has not. A batch that failed may have arrived in part; it is carried again as a whole.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeVar

import trio

from supervisor.errors import SupervisorError
from supervisor.ship.record import Record

T = TypeVar("T")


class ShipError(SupervisorError):
    """The receiver did not take a batch."""


class ContentError(ShipError):
    """It did not take it for what is in it, or for its size."""


class Refused(NamedTuple):
    """Of a batch that was taken, so many records were refused, and would be again."""

    records: int
    why: str


class Carrier(Protocol):
    async def pack(self, records: list[Record]) -> Any:
        """The batch as it is sent."""

    async def carry(self, packed: Any) -> Refused | None: ...


#: Records, and bytes of them, that are worked on without giving way: about a millisecond.
TURN, TURN_BYTES = 64, 64 << 10


async def gently(act: Callable[[Record], T], records: list[Record]) -> list[T]:
    """`act` on each, with a turn for everybody else now and then.

    Not in a thread: two that both run Python pass the interpreter's lock on every 5 ms at best, and capture, which
    gives it up with each system call, would wait that long for each.
    """
    made: list[T] = []
    done = size = 0
    for record in records:
        made.append(act(record))
        done, size = done + 1, size + len(record.raw)
        if done == TURN or size >= TURN_BYTES:
            await trio.lowlevel.checkpoint()
            done = size = 0
    return made
