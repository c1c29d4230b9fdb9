"""What is known of one container's life, as a frozen value; and how it survives its supervisor.

A snapshot holds times as ages, because the next supervisor's monotonic clock may begin elsewhere:
restore() is given what that clock says of the moment at which the snapshot was taken.
What the configuration says (Restart, Stop, …) is not in it: the files may have changed meanwhile.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from supervisor.core.events import Effect, Json, SetTimer, Wait
from supervisor.core.restart import History
from supervisor.core.spec import Container, Health, Ready, Restart, Stop

State = Literal["waiting", "starting", "running", "stopping", "backoff", "exited", "failed", "stopped"]
#: "decide": the policy does, the run counts as a failure; "fail": nothing, it is given up.
Wanted = Literal["start", "stop", "restart", "decide", "fail"]
Reason = Literal[
    "exit", "signal", "oom", "operator", "configuration", "schedule", "supervisor", "unknown", "dependency", "group", "health",
    "readiness", "watchdog"
]  # fmt: skip

#: A run is under way: the helper may hold processes of it.
LIVE: frozenset[State] = frozenset({"starting", "running", "stopping"})
#: Nothing lives and nothing is going to happen by itself.
RESTING: frozenset[State] = frozenset({"waiting", "exited", "failed", "stopped"})
#: The record that announces each state (a take-over announces `running` as container.adopted).
ANNOUNCED: dict[State, str] = {
    "waiting": "container.waiting",
    "starting": "container.starting",
    "running": "container.started",
    "stopping": "container.stopping",
    "backoff": "container.backoff",
    "exited": "container.exited",
    "failed": "container.failed",
    "stopped": "container.stopped",
}
#: The helper is asked again to kill what has not ended, no faster than this.
KILL_AGAIN = 1.0


@dataclass(frozen=True, slots=True)
class Exit:
    """How the latest run ended."""

    code: int | None
    signal: int | None
    oom: bool
    reason: Reason

    def fields(self) -> dict[str, Json]:
        return {"code": self.code, "signal": self.signal, "oom": self.oom, "reason": self.reason}


class Machine(NamedTuple):
    """A tuple, because a step replaces it some times, which is five times as fast as with a dataclass.

    `restarts` counts those the policy took since somebody last started it, as systemd does. Times are monotonic.

    `ready` and `healthy` are of the run under way (`healthy` None: not known), `failing` its failed probes in a
    row. `by` "" means that nobody has asked for anything yet. `unmet` is what stands in the way of a launch.
    """

    restart: Restart = Restart()
    stop: Stop = Stop()
    state: State = "waiting"
    run: int = 0
    wanted: Wanted = "start"
    by: str = ""
    closed: bool = False
    killed: bool = False
    restarts: int = 0
    history: History = History()
    timer: int = 0
    due: float | None = None
    started_at: float | None = None
    pid: int | None = None
    last: Exit | None = None
    reason: str = ""
    readiness: Ready | None = None
    health: Health | None = None
    ready: bool = False
    healthy: bool | None = None
    failing: int = 0
    unmet: tuple[Wait, ...] = ()


class Moment(NamedTuple):
    """When a step is taken, and the random number it may use."""

    now: float
    u: float


# ── put aside and taken up again ───────────────────────────────────────────────────────

#: Raised whenever a snapshot of an older supervisor would be misread.
VERSION = 2
#: What is kept as it is, and the type it must have when it is read back.
PLAIN: dict[str, type] = {
    "run": int,
    "by": str,
    "closed": bool,
    "killed": bool,
    "restarts": int,
    "timer": int,
    "reason": str,
    "ready": bool,
    "failing": int,
}


def snapshot(machine: Machine, now: float) -> dict[str, Json]:
    plain: dict[str, Json] = {key: getattr(machine, key) for key in PLAIN}
    past = machine.history
    return {
        "version": VERSION,
        "state": machine.state,
        "wanted": machine.wanted,
        **plain,
        "pid": machine.pid,
        "healthy": machine.healthy,
        "history": {
            "restarts": past.restarts,
            "failures": past.failures,
            "ages": tuple(now - time for time in past.times),
        },
        "due_in": None if machine.due is None else machine.due - now,
        "age": None if machine.started_at is None else now - machine.started_at,
        "last": None if machine.last is None else machine.last.fields(),
    }


def restore(spec: Container, data: Any, then: float) -> Machine:
    """The machine of a snapshot taken at `then`; ValueError if it is not one."""
    try:
        if data["version"] != VERSION:
            raise ValueError(f"version {data['version']} is not {VERSION}")
        if data["due_in"] is None and data["state"] in {"backoff", "stopping"}:
            raise ValueError(f"not a snapshot: {data['state']} without a timer would last for ever")
        past = data["history"]
        return Machine(
            restart=spec.restart,
            stop=spec.stop,
            readiness=spec.ready,
            health=spec.health,
            state=_word(data["state"], State),
            wanted=_word(data["wanted"], Wanted),
            **{key: _typed(data[key], kind) for key, kind in PLAIN.items()},
            pid=None if data["pid"] is None else _typed(data["pid"], int),
            healthy=None if data["healthy"] is None else _typed(data["healthy"], bool),
            history=History(
                _typed(past["restarts"], int),
                _typed(past["failures"], int),
                tuple(then - _seconds(age) for age in past["ages"]),
            ),
            due=None if data["due_in"] is None else then + _seconds(data["due_in"]),
            started_at=None if data["age"] is None else then - _seconds(data["age"]),
            last=None if data["last"] is None else _exit(data["last"]),
        )
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"not a snapshot: {error!r}") from error


def laid_down(data: dict[str, Any], run: int) -> dict[str, Any]:
    """The snapshot of one whose `run` has ended while nobody kept it, because it is not declared any more."""
    last = max(run, data["run"]) if type(data.get("run")) is int else run
    kept = {
        "state": "stopped",
        "wanted": "stop",
        "by": "configuration",
        "run": last,
        "ready": False,
        "failing": 0,
    }
    return {**data, **kept, "pid": None, "healthy": None, "due_in": None, "age": None}


def _exit(data: Any) -> Exit:
    code, signal = (None if data[key] is None else _typed(data[key], int) for key in ("code", "signal"))
    return Exit(code, signal, _typed(data["oom"], bool), _word(data["reason"], Reason))


def _word(value: Any, words: Any) -> Any:
    if value not in get_args(words):
        raise ValueError(f"not a snapshot: {value!r} is none of {', '.join(get_args(words))}")
    return value


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"not a snapshot: {value!r} is not {kind.__name__}")
    return value


def _seconds(value: Any) -> float:
    if type(value) not in {int, float} or value - value != 0:  # neither NaN nor infinite
        raise ValueError(f"not a snapshot: {value!r} is not a number of seconds")
    return float(value)


def adopt(machine: Machine, run: int) -> Machine:
    """The same machine, told by the helper of a run that it does not know or thought over.

    Only for a supervisor whose memory was lost or is older than the truth.
    """
    if run < machine.run or (run == machine.run and machine.state in LIVE):
        return machine
    state: State = "stopping" if machine.state == "stopping" else "starting"
    wanted = machine.wanted if state == "stopping" else "start"
    due = machine.due if state == "stopping" else None
    return machine._replace(
        state=state,
        run=run,
        wanted=wanted,
        due=due,
        closed=False,
        ready=False,
        healthy=None,
        failing=0,
        by=machine.by or "boot",
    )


def redeclare(machine: Machine, spec: Container) -> Machine:
    """The same machine by other rules. A run that had to say that it is ready, and need not any more, is."""
    new = machine._replace(restart=spec.restart, stop=spec.stop, readiness=spec.ready, health=spec.health)
    if machine.state == "running" and not machine.ready and spec.ready is None:
        new = new._replace(ready=True, due=None)
    if spec.health is None:
        new = new._replace(healthy=None, failing=0)
    return new


def resume(machine: Machine, now: float) -> tuple[Effect, ...]:
    """What a machine that was put aside needs done again: its timer."""
    return () if machine.due is None else (SetTimer(machine.timer, max(0.0, machine.due - now)),)
