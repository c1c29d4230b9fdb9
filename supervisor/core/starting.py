"""How a run begins: what stands in its way, its launch, and that it runs and is ready.

Laws:
- launch() is the only place that asks for a Launch, and asks for none while anything stands in the way.
- A run is ready once exec succeeded, or with `ready` once the probe said so; until then a timer runs.
"""

from supervisor.core.events import (
    BecameReady,
    Dependencies,
    Effect,
    Extended,
    Held,
    Launch,
    Launched,
    Record,
    Remove,
    RestartAsked,
    SetTimer,
    StartAsked,
    TimerFired,
    Vanished,
    Wait,
)
from supervisor.core.facts import record, started
from supervisor.core.machine import LIVE, Machine, Moment
from supervisor.core.restart import History

Step = tuple[Machine, tuple[Effect, ...]]


def arm(machine: Machine, now: float, seconds: float) -> tuple[Machine, SetTimer]:
    armed = machine._replace(timer=machine.timer + 1, due=now + seconds)
    return armed, SetTimer(armed.timer, seconds)


def launch(machine: Machine, why: str) -> Step:
    """The next run, or waiting for what stands in its way."""
    if machine.unmet:
        return _await_others(machine)
    new = machine._replace(
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


def _await_others(machine: Machine) -> Step:
    new = machine._replace(
        state="waiting", wanted="start", closed=False, due=None, reason=_waits(machine.unmet)
    )
    rests = machine.state in LIVE or machine.state == "backoff"
    return new, (_waiting(new), *((Remove(),) if rests else ()))


def _waiting(machine: Machine) -> Record:
    blocked = any(wait.blocked for wait in machine.unmet)
    names = tuple(wait.name for wait in machine.unmet)
    level = "warning" if blocked else "info"
    return record(machine, level, "container.waiting", **{"for": names}, why=machine.reason)


def _waits(unmet: tuple[Wait, ...]) -> str:
    return "; ".join(f"waits for {wait.name}, which {wait.why}" for wait in unmet)


def depend(machine: Machine, event: Dependencies, _at: Moment) -> Step:
    """While it waits: the way is free, or what stands in it has changed."""
    if machine.unmet == event.unmet:
        return machine, ()
    new = machine._replace(unmet=event.unmet)
    if not machine.by:
        return new, ()  # nobody has asked for it yet
    if not new.unmet:
        return launch(new, f"what it waited for is there: {', '.join(wait.name for wait in machine.unmet)}")
    new = new._replace(reason=_waits(new.unmet))
    # Said again only where somebody must act: waiting is told once, not at each turn of what is waited for.
    told = {wait.name for wait in machine.unmet if wait.blocked}
    blocked = {wait.name for wait in new.unmet if wait.blocked}
    return new, ((_waiting(new),) if blocked - told else ())


def begin(machine: Machine, event: StartAsked | RestartAsked, _at: Moment) -> Step:
    if event.by == "boot" and machine.state != "waiting" and not machine.closed:
        return machine, ()  # a supervisor that was killed carries on; it starts nothing anew
    verb = "restart" if isinstance(event, RestartAsked) else "start"
    if machine.state == "waiting" and machine.by and machine.unmet:
        return machine._replace(by=event.by), ()  # it goes on waiting, and that has been said
    fresh = machine._replace(by=event.by, history=History(), restarts=0)
    return launch(fresh, "boot" if event.by == "boot" else f"{verb} asked by {event.by}")


def retry(machine: Machine, _event: TimerFired, _at: Moment) -> Step:
    why = f"restart {machine.history.restarts} in a row: {machine.reason}"
    return launch(machine._replace(restarts=machine.restarts + 1), why)


def hold(machine: Machine, event: Held, at: Moment) -> Step:
    """The brake acts on all containers and is recorded once, by who pulls it."""
    new, timer = arm(machine, at.now, event.delay)
    return new, (timer,)


def relaunch(machine: Machine, event: Vanished, _at: Moment) -> Step:
    # The request was lost with whom it was made to, so the same run is asked for again: now, or when it may be.
    if machine.unmet:
        return _await_others(machine._replace(run=machine.run - 1))
    why = "the launch was asked for by a supervisor that is gone"
    return machine, (record(machine, "info", "container.starting", why=why), Launch(event.run))


def run(machine: Machine, event: Launched, at: Moment) -> Step:
    new = machine._replace(state="running", pid=event.pid, started_at=at.now)
    readiness = machine.readiness
    if readiness is None:
        return new._replace(ready=True), (started(new, event),)
    if _unheard(new, event):
        new, told = _ready(new, taken_over=True)
        return new, (started(new, event), told)
    new, timer = arm(new, at.now, readiness.timeout)
    return new, (started(new, event), timer)


def still_running(machine: Machine, event: Launched, _at: Moment) -> Step:
    if not event.adopted:
        return machine, ()
    new, told = machine._replace(pid=event.pid), started(machine, event)
    if _unheard(new, event):
        new, ready = _ready(new, taken_over=True)
        return new, (told, ready)
    return new, (told,)


def _unheard(machine: Machine, event: Launched) -> bool:
    """Whether it may have said that it is ready while no supervisor was there to hear it: it is not ended for that."""
    return (
        event.adopted
        and not machine.ready
        and machine.readiness is not None
        and machine.readiness.type == "notify"
    )


def become_ready(machine: Machine, _event: BecameReady, at: Moment) -> Step:
    if machine.ready:
        return machine, ()
    new, told = _ready(machine, after_s=round(max(0.0, at.now - (machine.started_at or at.now)), 6))
    return new, (told,)


def _ready(machine: Machine, **fields: float | bool) -> tuple[Machine, Record]:
    new = machine._replace(ready=True, due=None, reason="")
    return new, record(new, "info", "container.ready", **fields)


def extend(machine: Machine, event: Extended, at: Moment) -> Step:
    """EXTEND_TIMEOUT_USEC of sd_notify(3): while it starts or stops, that may take longer."""
    if machine.due is None or machine.killed:
        return machine, ()
    new, timer = arm(machine, at.now, event.seconds)
    return new, (timer,)
