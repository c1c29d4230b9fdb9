"""What supervision needs of the other rooms, as Protocols; daemon.py plugs the real ones in.

Tests put fakes here and nowhere else.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from supervisor.core.events import Json
from supervisor.core.readings import Cgroup, Reading
from supervisor.core.spec import Container

__all__ = [
    "BecameReady",
    "Cgroup",
    "Declared",
    "Ended",
    "Extended",
    "Files",
    "Journal",
    "Json",
    "Kernel",
    "Launcher",
    "Log",
    "MainTold",
    "Message",
    "NoProbes",
    "NotStarted",
    "Output",
    "Probed",
    "Probes",
    "Reading",
    "Started",
    "StatusTold",
    "Unready",
    "WatchdogMissed",
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
    core: bool = False
    cgroup: Cgroup | None = None


@dataclass(frozen=True, slots=True)
class BecameReady:
    """The probes say: this run is ready. Said once a run; nothing else of `Container.ready` is told."""

    name: str
    run: int


@dataclass(frozen=True, slots=True)
class Unready:
    """The probes say: this run is not ready yet, and `why`."""

    name: str
    run: int
    why: str


@dataclass(frozen=True, slots=True)
class Probed:
    """The probes say: one health probe ended. `why` says what was wrong, "" when `ok`.

    Every result is told, good or bad; counting (retries, start_period) and acting is the machine's.
    """

    name: str
    run: int
    ok: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class WatchdogMissed:
    """The probes say: no WATCHDOG=1 came for `seconds`, which the service had promised (sd_watchdog_enabled(3)),
    or it sent WATCHDOG=trigger. Said once a run; the machine counts it as a failure and restarts.
    """

    name: str
    run: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Extended:
    """The probes say: EXTEND_TIMEOUT_USEC. The start or stop under way has `seconds` from now."""

    name: str
    run: int
    seconds: float


@dataclass(frozen=True, slots=True)
class StatusTold:
    """The probes say: STATUS=text, one line for people; shown as `status_text`."""

    name: str
    run: int
    text: str


@dataclass(frozen=True, slots=True)
class MainTold:
    """The probes say: MAINPID. `pid` is in our PID namespace, and of a process of the container."""

    name: str
    run: int
    pid: int


Message = (
    Started
    | NotStarted
    | Ended
    | BecameReady
    | Unready
    | Probed
    | WatchdogMissed
    | Extended
    | StatusTold
    | MainTold
)


class Probes(Protocol):
    """Readiness, health and watchdog of runs, as they are performed.

    For who implements it: answers come back through Fleet.deliver(), from tasks of your own (a `run()` that
    daemon.py starts in its nursery); one about a run that is over is ignored, so nothing need be
    exact there. Timeouts of one health probe are yours (Health.timeout, Health.interval), and so is
    the watchdog's; Ready.timeout is the machine's. No method waits or raises.
    """

    def attach(self, spec: Container, run: int, pid: int, cgroup: Cgroup | None, ready: bool) -> None:
        """A run is executing: begin what `spec.ready` (unless `ready`: it was ready before a take-over)
        and `spec.health` say. `pid` is the service's, in our PID namespace. For the same run again
        after a reload: go on with the new spec.
        """

    def ending(self, name: str) -> None:
        """The run's end is under way: probe it no more, but hear what it has to say (EXTEND_TIMEOUT_USEC)."""

    def detach(self, name: str) -> None:
        """The run is over: end all of it. Also called for a container without any."""


class NoProbes:
    """Nothing is probed."""

    def attach(self, spec: Container, run: int, pid: int, cgroup: Cgroup | None, ready: bool) -> None:
        """Nothing to begin."""

    def ending(self, name: str) -> None:
        """Nothing to end."""

    def detach(self, name: str) -> None:
        """Nothing to end."""


class Launcher(Protocol):
    """The helper, seen from the unprivileged side. Answers come back as events."""

    @property
    def lost(self) -> bool:
        """Whether it is gone for good: containers live on, but nothing can be done to them."""

    def launch_now(self, name: str, run: int) -> bool:
        """Ask for it at once. False: that would have to wait, or fails; then nothing has been asked."""

    async def launch(self, name: str, run: int) -> None: ...
    async def signal(self, name: str, run: int, signal: int) -> None: ...
    async def kill(self, name: str, run: int) -> None: ...
    async def remove(self, name: str) -> None: ...


class Declared(Protocol):
    """What root's files say now. `limits` tells of each container whose limits changed under its live run why
    they could not, "" when they are in force.
    """

    @property
    def spec(self) -> bytes:
        """A Configuration in JSON."""

    @property
    def limits(self) -> dict[str, str]: ...


class Files(Protocol):
    """Root's files, read again by root."""

    async def reload(self, *, apply: bool) -> Declared:
        """Raises ConfigError with what is wrong with them, HelperError when they cannot be read; with `apply` they
        are what is declared from then on.
        """


class Output(Protocol):
    """Capture of stdout and stderr."""

    def attach(self, name: str, run: int) -> None:
        """Start reading the container's FIFOs as output of this run."""

    async def drain(self, name: str) -> None:
        """Return once all that waits in the FIFOs is on record, an unfinished last line included."""

    def detach(self, name: str) -> None: ...

    def last_run(self, name: str) -> int:
        """The latest that is on record, 0 if none is. Raises OSError."""

    def waiting(self, name: str) -> int:
        """Bytes that wait in the pipes because they cannot be written now; 0 when all is well."""


class Kernel(Protocol):
    """Monitoring of a container's cgroup."""

    def attach(self, name: str, run: int, cgroup: Cgroup) -> None: ...
    def detach(self, name: str) -> Reading:
        """A last reading, for the whole run; then forget the run."""

    def release(self, name: str) -> None:
        """It rests, and its cgroup goes."""

    def latest(self, name: str) -> Reading | None: ...


class Journal(Protocol):
    """The supervisor's own records."""

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None: ...

    def together(self) -> AbstractContextManager[None]:
        """What is recorded within may be written at its end, all in one. Nothing in it waits for another task."""


class Log(Protocol):
    """The journal's records, as who comes after finds them. All raise OSError where they cannot be read."""

    def place(self) -> tuple[str, int, int]:
        """Where the next record goes, in a segment behind all that wait to be written; the last says how many do."""

    def behind(self, place: tuple[str, int, int], count: int) -> list[dict[str, Any]] | None:
        """The first records there: those that waited and `count` more, fewer only where the log ends. None where
        nobody can tell any more.
        """

    def waiting(self, container: str, events: str) -> list[dict[str, Any]]:
        """The records of it that are not written yet, of events that begin so."""
