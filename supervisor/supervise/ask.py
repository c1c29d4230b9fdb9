"""What is asked of a container's keeper."""

from collections.abc import Callable
from typing import Protocol

import trio

from supervisor.core.events import Event
from supervisor.core.machine import RESTING, Machine
from supervisor.core.operator import Operator


class Ask:
    """A request: the event (None: just to be told), what the machine must have become for it to be done, and who
    asks (None: nobody).
    """

    def __init__(
        self, event: Event | None, done: Callable[[Machine], bool], by: Operator | None = None
    ) -> None:
        self.by = by
        self.event = event
        self.done = done
        self.answered = trio.Event()
        self.machine = Machine()

    def holds(self, machine: Machine) -> bool:
        self.machine = machine
        return self.done(machine)


class Asked(Protocol):
    """A keeper, as far as it can be asked."""

    def put(self, item: Ask) -> None: ...


async def answer(keeper: Asked, ask: Ask) -> Machine:
    keeper.put(ask)
    await ask.answered.wait()
    return ask.machine


def anything(_machine: Machine) -> bool:
    return True


def decided(machine: Machine) -> bool:
    """Whether a start has come to something: it runs and is ready, has failed, or waits for what does not come."""
    if machine.state == "waiting":
        return any(wait.blocked for wait in machine.unmet)
    if machine.state == "running":
        return machine.ready
    return machine.state not in {"starting", "stopping"}


def rests(machine: Machine) -> bool:
    return machine.state in RESTING


def stopped(machine: Machine) -> bool:
    return machine.state in RESTING or machine.wanted != "stop"
