"""How a run ends: because it was asked to, because it had to, or by itself; and what the policy makes of that.

Laws:
- The latest wish wins while a run is ending, and the operator's stop over every other reason.
- A run that the supervisor had to end (not ready in time, unhealthy, no watchdog) is a failure, however it then ended.
"""

from dataclasses import replace

from supervisor.core.backoff import delay
from supervisor.core.events import (
    Dependencies,
    Effect,
    Exited,
    GivenUp,
    Json,
    Kill,
    Launched,
    LaunchFailed,
    Record,
    Remove,
    RestartAsked,
    Signal,
    StartAsked,
    StopAsked,
    TimerFired,
    Vanished,
)
from supervisor.core.facts import hopeless, record, stage, started, told, uptime
from supervisor.core.machine import KILL_AGAIN, RESTING, Machine, Moment
from supervisor.core.restart import Decision, History, Outcome, decide
from supervisor.core.starting import Step, arm, launch

#: What a run had to be ended for, as part of a sentence.
CAUSES = {
    "health": "it was unhealthy",
    "readiness": "it was not ready in time",
    "watchdog": "it did not feed its watchdog",
}


# ── stop ───────────────────────────────────────────────────────────────────────────────


def _intend(machine: Machine, event: StopAsked | RestartAsked) -> Machine:
    if isinstance(event, RestartAsked):
        return machine._replace(wanted="restart", by=event.by, closed=False)
    if event.by in {"operator", "configuration"}:
        return machine._replace(wanted="stop", by=event.by, closed=False)
    stopped_before = machine.wanted == "stop" and machine.by == "operator"
    closed = not (stopped_before and machine.restart.policy == "unless-stopped")
    by = "operator" if stopped_before else "supervisor"
    return machine._replace(wanted="stop", by=by, closed=closed)


def halt(machine: Machine, event: StopAsked | RestartAsked, at: Moment) -> Step:
    """End the run under way: by the stop signal, or at once if nobody could receive one yet."""
    now = machine.state == "starting" or event.by == "supervisor-now"
    return _end(_intend(machine, event), at, now=now)


def _end(machine: Machine, at: Moment, *, now: bool = False, why: str = "") -> Step:
    new = machine._replace(state="stopping", killed=now)
    new, timer = arm(new, at.now, max(new.stop.timeout, KILL_AGAIN) if now else new.stop.timeout)
    signal = "SIGKILL" if now else machine.stop.signal
    fields: dict[str, Json] = {"by": new.by, "signal": signal, "timeout_s": machine.stop.timeout}
    end: Effect = Kill(new.run) if now else Signal(new.run, signal)
    fields |= {"why": why} if why else {}
    return new, (record(new, "info", "container.stopping", then=new.wanted, **fields), end, timer)


def fail(machine: Machine, by: str, why: str, at: Moment) -> Step:
    """End what runs because it does not do its work; the policy then decides. `by` is one of CAUSES."""
    return _end(machine._replace(wanted="decide", by=by), at, why=why)


def give_up(machine: Machine, event: GivenUp, at: Moment) -> Step:
    """Its group has failed."""
    new = machine._replace(wanted="fail", by="group", closed=False, reason=event.why)
    if machine.state == "stopping":
        return (machine, ()) if machine.wanted == "stop" else (new, ())
    if machine.state in {"starting", "running"}:
        return _end(new, at, now=machine.state == "starting", why=event.why)
    new = new._replace(state="failed", due=None)
    remove = (Remove(),) if machine.state == "backoff" else ()
    return new, (record(new, "error", "container.failed", reason=event.why), *remove)


def depend(machine: Machine, event: Dependencies, at: Moment) -> Step:
    """While it runs: something that it requires is no longer there, so it goes down, and comes back with it."""
    new = machine._replace(unmet=event.unmet)
    lost = [wait for wait in event.unmet if wait.required]
    if not lost:
        return new, ()
    why = "; ".join(f"{wait.name} {wait.why}" for wait in lost)
    return _end(new._replace(wanted="restart", by="dependency"), at, now=machine.state == "starting", why=why)


def kill(machine: Machine, _event: TimerFired, at: Moment) -> Step:
    sign = "it was killed" if machine.killed else machine.stop.signal
    return _slay(machine, f"it did not end within {machine.stop.timeout:g} s of {sign}", at)


def _slay(machine: Machine, why: str, at: Moment) -> Step:
    # The timer goes on: a kill that was lost with the link to the helper is asked for again.
    new, timer = arm(machine._replace(killed=True), at.now, max(machine.stop.timeout, KILL_AGAIN))
    return new, (record(new, "warning", "container.killing", reason=why), Kill(new.run), timer)


def insist(machine: Machine, event: StopAsked, at: Moment) -> Step:
    new = _intend(machine, event)
    if event.by != "supervisor-now":
        return new, ()
    return _slay(new, "the supervisor will not wait", at)


def go_on(machine: Machine, event: StartAsked | RestartAsked, _at: Moment) -> Step:
    if event.by == "boot" and not machine.closed:
        return machine, ()
    if event.by == "group" and machine.wanted in {"stop", "fail"}:
        return machine, ()  # who stopped it meant it
    return machine._replace(wanted="restart", by=event.by, closed=False), ()


def too_late(machine: Machine, event: Launched, at: Moment) -> Step:
    """It runs, though its end has been asked for: say so, and ask again."""
    if machine.pid is not None and not event.adopted:
        return machine, ()
    began = at.now if machine.started_at is None else machine.started_at
    new = machine._replace(pid=event.pid, started_at=began)
    end: Effect = Kill(new.run) if new.killed else Signal(new.run, new.stop.signal)
    return new, (started(new, event), end)


def halted(machine: Machine, event: LaunchFailed | Exited | Vanished, at: Moment) -> Step:
    if machine.wanted == "decide":
        return ended(machine, event, at)
    new, fact = told(machine, event, at, "as asked")
    if machine.wanted == "fail":
        return _gave_up(new, fact, machine.reason)
    if machine.wanted == "restart":
        if machine.by not in {"dependency", "group"}:
            new = new._replace(history=History())
        new, effects = launch(new, f"asked by {machine.by}")
        return new, (fact, *effects)
    new = new._replace(state="stopped")
    return new, (fact, record(new, "info", "container.stopped", by=new.by), Remove())


def rest(machine: Machine, event: StopAsked, _at: Moment) -> Step:
    new = _intend(machine, event)
    if event.by == "operator" or machine.state in {"waiting", "backoff"}:
        remove = () if machine.state in RESTING else (Remove(),)
        new = new._replace(state="stopped", due=None, reason="")
        return new, (record(new, "info", "container.stopped", by=new.by), *remove)
    return new, ()  # exited and failed stay what they are when the supervisor goes


def note(machine: Machine, event: StopAsked, _at: Moment) -> Step:
    return _intend(machine, event), ()


# ── end ────────────────────────────────────────────────────────────────────────────────


def ended(machine: Machine, event: Exited | LaunchFailed | Vanished, at: Moment) -> Step:
    """By itself: the policy decides."""
    refused = f"cannot be launched: {stage(event)}" if isinstance(event, LaunchFailed) else ""
    if isinstance(event, LaunchFailed) and hopeless(event):
        return _gave_up(*told(machine, event, at, refused), refused)
    lasted = uptime(machine, at)
    outcome = Outcome(lasted, launched=not isinstance(event, LaunchFailed))
    if isinstance(event, Exited):
        outcome = Outcome(lasted, event.code, event.signal, event.oom)
    if machine.wanted == "decide":
        outcome = replace(outcome, cause=CAUSES[machine.by])
    decision = decide(machine.restart, outcome, machine.history, at.now)
    new, fact = told(machine._replace(history=decision.history), event, at, _sentence(decision))
    new = new._replace(wanted="start")
    if decision.verdict == "again":
        return _wait(new, decision, fact, at)
    if decision.verdict == "leave" and outcome.launched:
        return new._replace(state="exited", reason=decision.why), (fact, Remove())
    return _gave_up(new, fact, refused if decision.verdict == "leave" else decision.why)


def _wait(machine: Machine, decision: Decision, fact: Record, at: Moment) -> Step:
    seconds = delay(decision.history.restarts, machine.restart.backoff, at.u)
    new, timer = arm(machine._replace(state="backoff", reason=decision.why), at.now, seconds)
    fields: dict[str, Json] = {"delay_s": round(seconds, 6), "failures": decision.history.failures}
    return new, (fact, record(new, "warning", "container.backoff", **fields, why=decision.why), timer)


def _gave_up(machine: Machine, fact: Record, why: str) -> Step:
    new = machine._replace(state="failed", reason=why)
    return new, (fact, record(new, "error", "container.failed", reason=why), Remove())


def _sentence(decision: Decision) -> str:
    verb = {"again": "restarted", "leave": "left", "give-up": "given up"}[decision.verdict]
    return f"{verb}: {decision.why}"
