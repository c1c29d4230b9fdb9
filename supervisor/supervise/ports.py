"""What supervision needs of the other rooms, as Protocols; daemon.py plugs the real ones in.

Tests put fakes here and nowhere else.
"""

from dataclasses import dataclass
from typing import Protocol

from supervisor.core.events import Json
from supervisor.core.readings import Cgroup, Reading

__all__ = [
    "Cgroup",
    "Ended",
    "Journal",
    "Json",
    "Kernel",
    "Launcher",
    "Message",
    "NotStarted",
    "Output",
    "Reading",
    "Started",
]


@dataclass(frozen=True, slots=True)
class Started:
    """The launcher says: exec succeeded; or, `adopted`: this run lives since before we did."""

    name: str
    run: int
    pid: int
    launch_ms: float
    cgroup: Cgroup
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class NotStarted:
    """The launcher says: a step before exec failed, and nothing of the run is left."""

    name: str
    run: int
    stage: str
    errno: int
    path: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Ended:
    """The launcher says: every process of the run is gone. Output may still wait in the FIFOs.

    `cgroup`, where it still stands, lets a run be read that ended while no supervisor was there.
    """

    name: str
    run: int
    code: int | None
    signal: int | None
    cgroup: Cgroup | None = None


Message = Started | NotStarted | Ended


class Launcher(Protocol):
    """The helper, seen from the unprivileged side. Answers come back as events."""

    @property
    def lost(self) -> bool:
        """Whether it is gone for good: containers live on, but nothing can be done to them."""

    async def launch(self, name: str, run: int) -> None: ...
    async def signal(self, name: str, run: int, signal: int) -> None: ...
    async def kill(self, name: str, run: int) -> None: ...
    async def remove(self, name: str) -> None: ...


class Output(Protocol):
    """Capture of stdout and stderr."""

    def attach(self, name: str, run: int) -> None:
        """Start reading the container's FIFOs as output of this run."""

    async def drain(self, name: str) -> None:
        """Return once all that waits in the FIFOs is on record, an unfinished last line included."""

    def detach(self, name: str) -> None: ...

    def waiting(self, name: str) -> int:
        """Bytes that wait in the pipes because they cannot be written now; 0 when all is well."""


class Kernel(Protocol):
    """Monitoring of a container's cgroup."""

    def attach(self, name: str, run: int, cgroup: Cgroup) -> None: ...
    def detach(self, name: str) -> Reading:
        """A last reading, for the whole run; then forget the container."""

    def latest(self, name: str) -> Reading | None: ...


class Journal(Protocol):
    """The supervisor's own records."""

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None: ...
