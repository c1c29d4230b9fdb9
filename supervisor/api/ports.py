"""What the API needs of the other rooms, as Protocols; daemon.py plugs the real ones in.

Tests put fakes here and nowhere else.
"""

from collections.abc import AsyncGenerator, Sequence
from typing import Any, Protocol

from supervisor.core.operator import Operator
from supervisor.logs.wanted import EVERYTHING, Wanted


class Fleet(Protocol):
    """All containers. Actions return when they are done and raise RequestError when they cannot be.

    What is asked for is on record, with `by`, before it is done.
    """

    async def start(self, name: str, by: Operator) -> None: ...
    async def stop(self, name: str, by: Operator) -> None: ...
    async def restart(self, name: str, by: Operator) -> None: ...
    async def kill(self, name: str, signal: str, by: Operator) -> None: ...

    def status(self, names: Sequence[str] = ()) -> list[dict[str, Any]]:
        """SPEC §2 objects in configuration order; RequestError("not-found") for an unknown name."""

    def inspect(self, name: str) -> dict[str, Any]: ...
    def why(self, name: str, runs: int | None = None) -> dict[str, Any]:
        """The newest `runs` runs (None: all that are remembered), newest first under `runs`, each with its
        `run`, `ended_at` (RFC 3339 or None) and an `output` to be filled in.
        """


class Records(Protocol):
    """The records on disk, as they stand there."""

    def last_words(self, name: str, run: int, ended_at: str | None) -> list[dict[str, Any]]:
        """The last lines that this run printed, oldest first; [] where its log is gone."""

    def read(
        self,
        names: Sequence[str],
        *,
        last: int | None,
        follow: bool,
        output: bool,
        events: bool,
        reverse: bool = False,
        wanted: Wanted = EVERYTHING,
    ) -> AsyncGenerator[bytes]:
        """Chunks of whole NDJSON lines, merged in time order, or exactly against it (`reverse`).

        `names` () means every container; `last` None means from the beginning, N the last N
        of the records that are `wanted`; `follow` goes on for ever, over rotation and restarts.
        `output` takes the containers' own lines, `events` the supervisor's records (with
        names: those about these containers). Raises RequestError, at the call or the first
        step, for a name that has neither container nor log.
        """


class Reload(Protocol):
    """Root's files, read again. Both raise RequestError, with the files' problems where they are wrong."""

    async def plan(self) -> dict[str, Any]:
        """A schema.Plan: what a reload would change."""

    async def reload(self, by: Operator) -> dict[str, Any]:
        """The same, done; on record with `by` before."""
