"""What probes say of a run: whether it is ready in time, healthy, and feeds its watchdog.

Laws:
- Failures count from the moment the run is ready, and not before start_period is over.
- Health is recorded when it changes, not at each probe: health.failed after `retries` failures
  in a row, health.recovered at the first success after that.
"""

from supervisor.core.ending import fail
from supervisor.core.events import Probed, TimerFired, Unready, WatchdogMissed
from supervisor.core.facts import record, uptime
from supervisor.core.machine import Machine, Moment
from supervisor.core.starting import Step

_NOT_YET = "not ready yet: "
#: Of a run whose first probe was not over in time, by its type.
_UNANSWERED = {"exec": "the command had not ended", "http": "no answer", "tcp": "no connection"}


def doubt(machine: Machine, event: Unready, _at: Moment) -> Step:
    """Shown while it is so; on record only if it stays so."""
    return (machine if machine.ready else machine._replace(reason=f"{_NOT_YET}{event.why}")), ()


def expire(machine: Machine, _event: TimerFired, at: Moment) -> Step:
    assert machine.readiness is not None  # or no timer would run
    why = machine.reason.removeprefix(_NOT_YET) or _UNANSWERED.get(machine.readiness.type, "")
    text = f"not ready in time ({machine.readiness.timeout:g} s)"
    return fail(machine, "readiness", f"{text}: {why}" if why else text, at)


def probe(machine: Machine, event: Probed, at: Moment) -> Step:
    health = machine.health
    if health is None or not machine.ready:
        return machine, ()
    if event.ok:
        return _succeeded(machine)
    if uptime(machine, at) < health.start_period:
        return machine, ()
    new = machine._replace(failing=machine.failing + 1)
    if machine.healthy is False or new.failing < health.retries:
        return new, ()
    new = new._replace(healthy=False)
    told = record(new, "warning", "health.failed", failures=new.failing, why=event.why, action=health.action)
    if health.action == "none":
        return new, (told,)
    new, effects = fail(new, "health", f"unhealthy: {event.why}", at)
    return new, (told, *effects)


def _succeeded(machine: Machine) -> Step:
    new = machine._replace(healthy=True, failing=0)
    if machine.healthy is False:
        return new, (record(new, "info", "health.recovered", failures=machine.failing),)
    return new, ()


def miss(machine: Machine, event: WatchdogMissed, at: Moment) -> Step:
    why = f"no WATCHDOG=1 for {event.seconds:g} s" if event.seconds else "it said WATCHDOG=trigger"
    return fail(machine, "watchdog", why, at)
