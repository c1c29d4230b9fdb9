"""The life of one container: step(machine, event, now) -> (machine, effects).

Laws:
- Never two live runs: Launch is asked only where nothing lives, and each takes the next number.
- After a stop was asked there is no Launch until a start or restart is.
- An event about another run, or a timer that has been replaced, changes nothing.
- A change of state is announced by exactly one Record, named after the state it leads to
  (ANNOUNCED), which says why. What happened (an exit, a failed launch) is one Record more.
- In backoff, where nothing else wakes it, and in stopping, where a kill may be lost, a timer is armed.
- Coming to rest asks for Remove, once.

`wanted` is what follows the end of the run under way; `closed` says that the supervisor was
stopped in good order since, so that its next boot starts this container afresh. That is where
"always" and "unless-stopped" differ: the second stays stopped if the operator had stopped it.

TABLE, at the end, is the machine; docs/lifecycle.md is drawn from it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from supervisor.core.events import (
    Effect,
    Event,
    Exited,
    Json,
    Kill,
    Launch,
    Launched,
    LaunchFailed,
    Record,
    Remove,
    RestartAsked,
    SetTimer,
    Signal,
    StartAsked,
    StopAsked,
    TimerFired,
    Vanished,
)
from supervisor.core.facts import hopeless, record, stage, started, told, uptime
from supervisor.core.machine import KILL_AGAIN, RESTING, Machine, Moment, State
from supervisor.core.restart import Decision, History, Outcome, decide, delay

Step = tuple[Machine, tuple[Effect, ...]]


def step(machine: Machine, event: Event, now: float, u: float = 0.5) -> Step:
    if _stale(machine, event):
        return machine, ()
    rule = TABLE[machine.state].get(type(event))
    return rule.does(machine, event, Moment(now, u)) if rule else (machine, ())


def _stale(machine: Machine, event: Event) -> bool:
    match event:
        case TimerFired(serial):
            return serial != machine.timer or machine.due is None
        case Launched(run=run) | LaunchFailed(run=run) | Exited(run=run) | Vanished(run=run):
            return run != machine.run
    return False


def _arm(machine: Machine, now: float, seconds: float) -> tuple[Machine, SetTimer]:
    armed = replace(machine, timer=machine.timer + 1, due=now + seconds)
    return armed, SetTimer(armed.timer, seconds)


# ── start ──────────────────────────────────────────────────────────────────────────────


def _launch(machine: Machine, why: str) -> Step:
    new = replace(
        machine,
        state="starting",
        run=machine.run + 1,
        wanted="start",
        closed=False,
        killed=False,
        due=None,
        started_at=None,
        pid=None,
        reason="",
    )
    return new, (record(new, "info", "container.starting", why=why), Launch(new.run))


def _begin(machine: Machine, event: StartAsked | RestartAsked, _at: Moment) -> Step:
    if event.by == "boot" and machine.state != "waiting" and not machine.closed:
        return machine, ()  # a supervisor that was killed carries on; it starts nothing anew
    verb = "restart" if isinstance(event, RestartAsked) else "start"
    fresh = replace(machine, by=event.by, history=History(), restarts=0)
    return _launch(fresh, "boot" if event.by == "boot" else f"{verb} asked by {event.by}")


def _retry(machine: Machine, _event: TimerFired, _at: Moment) -> Step:
    why = f"restart {machine.history.restarts} in a row: {machine.reason}"
    return _launch(replace(machine, restarts=machine.restarts + 1), why)


def _relaunch(machine: Machine, event: Vanished, _at: Moment) -> Step:
    # The request was lost with whom it was made to, so the same run is asked for again.
    why = "the launch was asked for by a supervisor that is gone"
    return machine, (record(machine, "info", "container.starting", why=why), Launch(event.run))


def _running(machine: Machine, event: Launched, at: Moment) -> Step:
    new = replace(machine, state="running", pid=event.pid, started_at=at.now)
    return new, (started(new, event),)


def _still_running(machine: Machine, event: Launched, _at: Moment) -> Step:
    if not event.adopted:
        return machine, ()
    return replace(machine, pid=event.pid), (started(machine, event),)


# ── stop ───────────────────────────────────────────────────────────────────────────────


def _intend(machine: Machine, event: StopAsked | RestartAsked) -> Machine:
    if isinstance(event, RestartAsked):
        return replace(machine, wanted="restart", by=event.by, closed=False)
    if event.by in {"operator", "configuration"}:
        return replace(machine, wanted="stop", by=event.by, closed=False)
    stopped_before = machine.wanted == "stop" and machine.by == "operator"
    closed = not (stopped_before and machine.restart.policy == "unless-stopped")
    by = "operator" if stopped_before else "supervisor"
    return replace(machine, wanted="stop", by=by, closed=closed)


def _halt(machine: Machine, event: StopAsked | RestartAsked, at: Moment) -> Step:
    """End the run under way: by the stop signal, or at once if nobody could receive one yet."""
    now = machine.state == "starting" or event.by == "supervisor-now"
    new = replace(_intend(machine, event), state="stopping", killed=now)
    new, timer = _arm(new, at.now, max(new.stop.timeout, KILL_AGAIN) if now else new.stop.timeout)
    signal = "SIGKILL" if now else machine.stop.signal
    fields: dict[str, Json] = {"by": new.by, "signal": signal, "timeout_s": machine.stop.timeout}
    end: Effect = Kill(new.run) if now else Signal(new.run, signal)
    return new, (record(new, "info", "container.stopping", then=new.wanted, **fields), end, timer)


def _kill(machine: Machine, _event: TimerFired, at: Moment) -> Step:
    sign = "it was killed" if machine.killed else machine.stop.signal
    return _slay(machine, f"it did not end within {machine.stop.timeout:g} s of {sign}", at)


def _slay(machine: Machine, why: str, at: Moment) -> Step:
    # The timer goes on: a kill that was lost with the link to the helper is asked for again.
    new, timer = _arm(replace(machine, killed=True), at.now, max(machine.stop.timeout, KILL_AGAIN))
    return new, (record(new, "warning", "container.killing", reason=why), Kill(new.run), timer)


def _insist(machine: Machine, event: StopAsked, at: Moment) -> Step:
    new = _intend(machine, event)
    if event.by != "supervisor-now":
        return new, ()
    return _slay(new, "the supervisor will not wait", at)


def _go_on(machine: Machine, event: StartAsked | RestartAsked, _at: Moment) -> Step:
    if event.by == "boot" and not machine.closed:
        return machine, ()
    return replace(machine, wanted="restart", by=event.by, closed=False), ()


def _too_late(machine: Machine, event: Launched, at: Moment) -> Step:
    """It runs, though its end has been asked for: say so, and ask again."""
    if machine.pid is not None and not event.adopted:
        return machine, ()
    began = at.now if machine.started_at is None else machine.started_at
    new = replace(machine, pid=event.pid, started_at=began)
    end: Effect = Kill(new.run) if new.killed else Signal(new.run, new.stop.signal)
    return new, (started(new, event), end)


def _halted(machine: Machine, event: LaunchFailed | Exited | Vanished, at: Moment) -> Step:
    new, fact = told(machine, event, at, "as asked")
    if machine.wanted == "restart":
        new, effects = _launch(replace(new, history=History()), f"asked by {machine.by}")
        return new, (fact, *effects)
    new = replace(new, state="stopped")
    return new, (fact, record(new, "info", "container.stopped", by=new.by), Remove())


def _rest(machine: Machine, event: StopAsked, _at: Moment) -> Step:
    new = _intend(machine, event)
    if event.by == "operator" or machine.state in {"waiting", "backoff"}:
        remove = () if machine.state in RESTING else (Remove(),)
        new = replace(new, state="stopped", due=None, reason="")
        return new, (record(new, "info", "container.stopped", by=new.by), *remove)
    return new, ()  # exited and failed stay what they are when the supervisor goes


def _note(machine: Machine, event: StopAsked, _at: Moment) -> Step:
    return _intend(machine, event), ()


# ── end ────────────────────────────────────────────────────────────────────────────────


def _ended(machine: Machine, event: Exited | LaunchFailed | Vanished, at: Moment) -> Step:
    """By itself: the policy decides."""
    refused = f"cannot be launched: {stage(event)}" if isinstance(event, LaunchFailed) else ""
    if isinstance(event, LaunchFailed) and hopeless(event):
        return _gave_up(*told(machine, event, at, refused), refused)
    lasted = uptime(machine, at)
    outcome = Outcome(lasted, launched=not isinstance(event, LaunchFailed))
    if isinstance(event, Exited):
        outcome = Outcome(lasted, event.code, event.signal, event.oom)
    decision = decide(machine.restart, outcome, machine.history, at.now)
    new, fact = told(replace(machine, history=decision.history), event, at, _sentence(decision))
    if decision.verdict == "again":
        return _wait(new, decision, fact, at)
    if decision.verdict == "leave" and outcome.launched:
        return replace(new, state="exited", reason=decision.why), (fact, Remove())
    return _gave_up(new, fact, refused if decision.verdict == "leave" else decision.why)


def _wait(machine: Machine, decision: Decision, fact: Record, at: Moment) -> Step:
    seconds = delay(decision.history.restarts, machine.restart.backoff, at.u)
    new, timer = _arm(replace(machine, state="backoff", reason=decision.why), at.now, seconds)
    fields: dict[str, Json] = {"delay_s": round(seconds, 6), "failures": decision.history.failures}
    return new, (fact, record(new, "warning", "container.backoff", **fields, why=decision.why), timer)


def _gave_up(machine: Machine, fact: Record, why: str) -> Step:
    new = replace(machine, state="failed", reason=why)
    return new, (fact, record(new, "error", "container.failed", reason=why), Remove())


def _sentence(decision: Decision) -> str:
    verb = {"again": "restarted", "leave": "left", "give-up": "given up"}[decision.verdict]
    return f"{verb}: {decision.why}"


# ── the table ──────────────────────────────────────────────────────────────────────────


class Rule(NamedTuple):
    """What an event does in a state, and every state it may lead to."""

    does: Callable[[Machine, Any, Moment], Step]
    to: tuple[State, ...]


TABLE: dict[State, dict[type[Event], Rule]] = {
    "waiting": {
        StartAsked: Rule(_begin, ("starting",)),
        StopAsked: Rule(_rest, ("stopped",)),
        RestartAsked: Rule(_begin, ("starting",)),
    },
    "starting": {
        StopAsked: Rule(_halt, ("stopping",)),
        RestartAsked: Rule(_halt, ("stopping",)),
        Launched: Rule(_running, ("running",)),
        LaunchFailed: Rule(_ended, ("backoff", "failed")),
        Exited: Rule(_ended, ("backoff", "exited", "failed")),
        Vanished: Rule(_relaunch, ("starting",)),
    },
    "running": {
        StopAsked: Rule(_halt, ("stopping",)),
        RestartAsked: Rule(_halt, ("stopping",)),
        Launched: Rule(_still_running, ("running",)),
        Exited: Rule(_ended, ("backoff", "exited", "failed")),
        Vanished: Rule(_ended, ("backoff", "exited", "failed")),
    },
    "stopping": {
        StartAsked: Rule(_go_on, ("stopping",)),
        StopAsked: Rule(_insist, ("stopping",)),
        RestartAsked: Rule(_go_on, ("stopping",)),
        Launched: Rule(_too_late, ("stopping",)),
        LaunchFailed: Rule(_halted, ("stopped", "starting")),
        Exited: Rule(_halted, ("stopped", "starting")),
        Vanished: Rule(_halted, ("stopped", "starting")),
        TimerFired: Rule(_kill, ("stopping",)),
    },
    "backoff": {
        StartAsked: Rule(_begin, ("starting",)),
        StopAsked: Rule(_rest, ("stopped",)),
        RestartAsked: Rule(_begin, ("starting",)),
        TimerFired: Rule(_retry, ("starting",)),
    },
    "exited": {
        StartAsked: Rule(_begin, ("starting",)),
        StopAsked: Rule(_rest, ("exited", "stopped")),
        RestartAsked: Rule(_begin, ("starting",)),
    },
    "failed": {
        StartAsked: Rule(_begin, ("starting",)),
        StopAsked: Rule(_rest, ("failed", "stopped")),
        RestartAsked: Rule(_begin, ("starting",)),
    },
    "stopped": {
        StartAsked: Rule(_begin, ("starting",)),
        StopAsked: Rule(_note, ("stopped",)),
        RestartAsked: Rule(_begin, ("starting",)),
    },
}
