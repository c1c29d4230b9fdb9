"""The life of one container: step(machine, event, now) -> (machine, effects).

Laws:
- Never two live runs: Launch is asked only where nothing lives, and each takes the next number.
- After a stop was asked there is no Launch until a start or restart is.
- An event about another run, or a timer that has been replaced, changes nothing.
- A change of state is announced by exactly one Record, named after the state it leads to
  (ANNOUNCED), which says why. What happened (an exit, a failed launch) is one Record more.
- In backoff, where nothing else wakes it, in stopping, where a kill may be lost, and while a run that must
  say so is not ready yet, a timer is armed.
- Nothing is launched while something stands in the way (unmet); what is required and lost takes it down.
- Coming to rest asks for Remove, once.

`wanted` is what follows the end of the run under way; `closed` says that the supervisor was
stopped in good order since, so that its next boot starts this container afresh. That is where
"always" and "unless-stopped" differ: the second stays stopped if the operator had stopped it.

TABLE is the machine; docs/lifecycle.md is drawn from it. How a run begins is in starting, how it ends in
ending, and what probes say of it in probing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from supervisor.core import ending, probing, starting
from supervisor.core.events import (
    BecameReady,
    Dependencies,
    Event,
    Exited,
    Extended,
    GivenUp,
    Held,
    Launched,
    LaunchFailed,
    Probed,
    RestartAsked,
    StartAsked,
    StopAsked,
    TimerFired,
    Told,
    Unready,
    Vanished,
    WatchdogMissed,
)
from supervisor.core.machine import Machine, Moment, State
from supervisor.core.starting import Step


def step(machine: Machine, event: Event, now: float, u: float = 0.5) -> Step:
    if _stale(machine, event):
        return machine, ()
    rule = TABLE[machine.state].get(type(event))
    if rule is not None:
        return rule.does(machine, event, Moment(now, u))
    if isinstance(event, Dependencies):  # to be known when it is launched the next time
        return machine._replace(unmet=event.unmet), ()
    return machine, ()


def _stale(machine: Machine, event: Event) -> bool:
    if isinstance(event, TimerFired):
        return event.serial != machine.timer or machine.due is None
    return isinstance(event, Told) and event.run != machine.run


class Rule(NamedTuple):
    """What an event does in a state, and every state it may lead to."""

    does: Callable[[Machine, Any, Moment], Step]
    to: tuple[State, ...]


TABLE: dict[State, dict[type[Event], Rule]] = {
    "waiting": {
        StartAsked: Rule(starting.begin, ("starting", "waiting")),
        StopAsked: Rule(ending.rest, ("stopped",)),
        RestartAsked: Rule(starting.begin, ("starting", "waiting")),
        Dependencies: Rule(starting.depend, ("starting",)),
        GivenUp: Rule(ending.give_up, ("failed",)),
    },
    "starting": {
        StopAsked: Rule(ending.halt, ("stopping",)),
        RestartAsked: Rule(ending.halt, ("stopping",)),
        Launched: Rule(starting.run, ("running",)),
        LaunchFailed: Rule(ending.ended, ("backoff", "failed")),
        Exited: Rule(ending.ended, ("backoff", "exited", "failed")),
        Vanished: Rule(starting.relaunch, ("starting", "waiting")),
        Dependencies: Rule(ending.depend, ("stopping",)),
        GivenUp: Rule(ending.give_up, ("stopping",)),
    },
    "running": {
        StopAsked: Rule(ending.halt, ("stopping",)),
        RestartAsked: Rule(ending.halt, ("stopping",)),
        Launched: Rule(starting.still_running, ("running",)),
        Exited: Rule(ending.ended, ("backoff", "exited", "failed")),
        Vanished: Rule(ending.ended, ("backoff", "exited", "failed")),
        BecameReady: Rule(starting.become_ready, ("running",)),
        Unready: Rule(probing.doubt, ("running",)),
        TimerFired: Rule(probing.expire, ("stopping",)),
        Extended: Rule(starting.extend, ("running",)),
        Probed: Rule(probing.probe, ("running", "stopping")),
        WatchdogMissed: Rule(probing.miss, ("stopping",)),
        Dependencies: Rule(ending.depend, ("stopping",)),
        GivenUp: Rule(ending.give_up, ("stopping",)),
    },
    "stopping": {
        StartAsked: Rule(ending.go_on, ("stopping",)),
        StopAsked: Rule(ending.insist, ("stopping",)),
        RestartAsked: Rule(ending.go_on, ("stopping",)),
        Launched: Rule(ending.too_late, ("stopping",)),
        LaunchFailed: Rule(ending.halted, ("stopped", "starting", "waiting", "backoff", "exited", "failed")),
        Exited: Rule(ending.halted, ("stopped", "starting", "waiting", "backoff", "exited", "failed")),
        Vanished: Rule(ending.halted, ("stopped", "starting", "waiting", "backoff", "exited", "failed")),
        TimerFired: Rule(ending.kill, ("stopping",)),
        Extended: Rule(starting.extend, ("stopping",)),
        GivenUp: Rule(ending.give_up, ("stopping",)),
    },
    "backoff": {
        StartAsked: Rule(starting.begin, ("starting", "waiting")),
        StopAsked: Rule(ending.rest, ("stopped",)),
        RestartAsked: Rule(starting.begin, ("starting", "waiting")),
        TimerFired: Rule(starting.retry, ("starting", "waiting")),
        Held: Rule(starting.hold, ("backoff",)),
        GivenUp: Rule(ending.give_up, ("failed",)),
    },
    "exited": {
        StartAsked: Rule(starting.begin, ("starting", "waiting")),
        StopAsked: Rule(ending.rest, ("exited", "stopped")),
        RestartAsked: Rule(starting.begin, ("starting", "waiting")),
    },
    "failed": {
        StartAsked: Rule(starting.begin, ("starting", "waiting")),
        StopAsked: Rule(ending.rest, ("failed", "stopped")),
        RestartAsked: Rule(starting.begin, ("starting", "waiting")),
    },
    "stopped": {
        StartAsked: Rule(starting.begin, ("starting", "waiting")),
        StopAsked: Rule(ending.note, ("stopped",)),
        RestartAsked: Rule(starting.begin, ("starting", "waiting")),
    },
}
