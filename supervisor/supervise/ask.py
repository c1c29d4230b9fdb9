"""What is asked of a container's keeper."""

from collections.abc import Callable

import trio

from supervisor.core.events import Event
from supervisor.core.machine import Machine
from supervisor.core.operator import Operator


class Ask:
    """A request: the event, what the machine must have become for it to be done, and who asks (None: nobody)."""

    def __init__(self, event: Event, done: Callable[[Machine], bool], by: Operator | None = None) -> None:
        self.by = by
        self.event = event
        self.done = done
        self.answered = trio.Event()
        self.machine = Machine()

    def holds(self, machine: Machine) -> bool:
        self.machine = machine
        return self.done(machine)
