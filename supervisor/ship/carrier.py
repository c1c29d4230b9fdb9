"""How a batch travels: a port, with an adapter for each type of sink.

Laws: `pack` is pure and may take long, it is called in a thread; `carry` returns only when the receiver has
taken the whole batch, as far as its protocol can tell, and raises ShipError, OSError or trio's own errors where
it has not. A batch that failed may have arrived in part; it is carried again as a whole.
"""

from typing import Any, NamedTuple, Protocol

from supervisor.errors import SupervisorError
from supervisor.ship.record import Record


class ShipError(SupervisorError):
    """The receiver did not take a batch."""


class ContentError(ShipError):
    """It did not take it for what is in it, or for its size."""


class Refused(NamedTuple):
    """Of a batch that was taken, so many records were refused, and would be again."""

    records: int
    why: str


class Carrier(Protocol):
    def pack(self, records: list[Record]) -> Any:
        """The batch as it is sent."""

    async def carry(self, packed: Any) -> Refused | None: ...
