"""Where this room records what it does, as whoever supervises sees it: `supervise.ports.Journal` is one."""

from typing import Protocol

from supervisor.core.events import Json


class Recorder(Protocol):
    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None: ...
