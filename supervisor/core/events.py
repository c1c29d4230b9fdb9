"""What the lifecycle machine hears (events) and wants done (effects), as frozen values.

A run is one life of a container, numbered 1, 2, …; an event about another run than the
machine's current one is stale and changes nothing.
"""

from dataclasses import dataclass, field

Json = str | int | float | bool | None | tuple["Json", ...] | dict[str, "Json"]


# ── heard ──────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class StartAsked:
    """`by`: "boot" (the supervisor starts) | "operator" | "configuration" (it is new in the files) | "dependant"
    (one that requires it was started).
    """

    by: str = "operator"


@dataclass(frozen=True, slots=True)
class StopAsked:
    """`by`: "operator" | "configuration" (it is declared no more) | "supervisor" (it is stopping) | "supervisor-now" (and will not wait)."""

    by: str = "operator"


@dataclass(frozen=True, slots=True)
class RestartAsked:
    """`by`: "operator" | "configuration" (it is declared anew) | "group"."""

    by: str = "operator"


@dataclass(frozen=True, slots=True)
class Launched:
    """exec succeeded. `pid` is the service's, in the supervisor's PID namespace.

    `adopted`: it was running before this supervisor was, and is taken over.
    """

    run: int
    pid: int
    launch_ms: float = 0.0
    adopted: bool = False


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """A step before exec failed; nothing of the run is left."""

    run: int
    stage: str
    errno: int
    path: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Exited:
    """Every process of the run is gone and its output has been read to the end.

    Exactly one of `code` and `signal` is set; neither when nobody could say. `core`: one was dumped. `cpu` is what the cgroup used in this run
    (usage_usec, nr_periods, nr_throttled, throttled_usec).
    """

    run: int
    code: int | None = None
    signal: int | None = None
    core: bool = False
    oom: bool = False
    cpu: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Vanished:
    """The helper has told all it knows, and nothing of this run is among it."""

    run: int


@dataclass(frozen=True, slots=True)
class TimerFired:
    serial: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Something that stands between a container and its launch.

    `name` is what it waits for, `why` what is missing; `blocked`: that will not come by itself soon.
    `required`: what already runs goes down for it.
    """

    name: str
    why: str
    blocked: bool = False
    required: bool = False


@dataclass(frozen=True, slots=True)
class Dependencies:
    """All that stands in the way now; nothing: it may be launched."""

    unmet: tuple[Wait, ...]


@dataclass(frozen=True, slots=True)
class BecameReady:
    run: int


@dataclass(frozen=True, slots=True)
class Unready:
    """It was looked at and is not ready yet; `why` says what was wrong."""

    run: int
    why: str


@dataclass(frozen=True, slots=True)
class Probed:
    """One health probe ended; `why` says what was wrong."""

    run: int
    ok: bool
    why: str = ""


@dataclass(frozen=True, slots=True)
class WatchdogMissed:
    run: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Extended:
    """The service asks for time: what it is doing may take `seconds` from now."""

    run: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Held:
    """The brake on restarts: this one has to wait `delay` seconds more."""

    delay: float


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Its group has failed, and it with the group."""

    why: str


Asked = StartAsked | StopAsked | RestartAsked
Told = (
    Launched | LaunchFailed | Exited | Vanished | BecameReady | Unready | Probed | WatchdogMissed | Extended
)
Event = Asked | Told | TimerFired | Dependencies | Held | GivenUp


# ── wanted ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Launch:
    run: int


@dataclass(frozen=True, slots=True)
class Signal:
    """`signal` is a name, "SIGTERM"."""

    run: int
    signal: str


@dataclass(frozen=True, slots=True)
class Kill:
    """cgroup.kill: no process of the run survives."""

    run: int


@dataclass(frozen=True, slots=True)
class Remove:
    """The container rests: its cgroup and FIFOs go."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """One timer a machine: a new one replaces the old; a stale serial is ignored by value."""

    serial: int
    delay: float


@dataclass(frozen=True, slots=True)
class Record:
    """One record in the supervisor's log. `level`: "info" | "warning" | "error"."""

    level: str
    event: str
    run: int
    fields: tuple[tuple[str, Json], ...] = ()


Effect = Launch | Signal | Kill | Remove | SetTimer | Record
