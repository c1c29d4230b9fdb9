"""What probing needs of the other rooms, and what it tells; daemon.py plugs the real ones in."""

from collections.abc import Callable
from typing import NamedTuple, Protocol


class Helper(Protocol):
    """Who makes what root declared, in the container. Each raises HelperError when it is gone."""

    async def probe(self, name: str, run: int, kind: str) -> str | None:
        """Make the probe "ready" or "health": what is wrong, "" when all is well; None when that cannot be told.

        It ends within the timeout that was declared with it, and when this is cancelled.
        """

    async def over(self, name: str, kind: str) -> None:
        """Until nothing is left of the one before."""

    async def words(self, name: str, run: int) -> tuple[int, int] | None:
        """A datagram socket with SO_PASSCRED where its sd_notify words come, the caller's from now on, and the first of the
        65,536 user ids that they come from (-1: the host's).
        """


class Lines(Protocol):
    """Output as it is recorded."""

    def listen(self, name: str, hear: Callable[[str, bytes], None]) -> None:
        """`hear` gets each stream's name and bytes: whole lines, or pieces of what is too long for one record."""

    def listen_no_more(self, name: str) -> None: ...


class Told(NamedTuple):
    """What is found out about a run, by container and number."""

    ready: Callable[[str, int], None]
    unready: Callable[[str, int, str], None]  # why it is not ready yet
    probed: Callable[[str, int, bool, str], None]
    missed: Callable[[str, int, float], None]  # seconds without a word
    extended: Callable[[str, int, float], None]
    status: Callable[[str, int, str], None]
    main: Callable[[str, int, int], None]  # its main process, in our PID namespace
    refused: Callable[
        [str, int, int, int], None
    ]  # the PID and user id of a sender that is none of its processes
