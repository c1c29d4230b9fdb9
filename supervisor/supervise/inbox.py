"""What comes to a container's task: messages, requests, its one timer, and word that something around it has changed."""

import math
from collections.abc import Callable
from typing import Any

import trio
import trio.lowlevel

from supervisor.core import events
from supervisor.core.events import Event, TimerFired
from supervisor.supervise.ask import Ask
from supervisor.supervise.ports import BecameReady, Extended, Message, Probed, Unready, WatchdogMissed

#: What probes say, in the words of the machine.
HEARD: dict[type, Callable[[Any], Event]] = {
    BecameReady: lambda told: events.BecameReady(told.run),
    Unready: lambda told: events.Unready(told.run, told.why),
    Probed: lambda told: events.Probed(told.run, told.ok, told.why),
    WatchdogMissed: lambda told: events.WatchdogMissed(told.run, told.seconds),
    Extended: lambda told: events.Extended(told.run, told.seconds),
}


class Nudge:
    """Something around it has changed: look."""


Item = Ask | Message | Nudge | Event


class Inbox:
    """Unbounded: what may come in is bounded by what was asked for, and who delivers must not wait. One task reads."""

    __slots__ = ("_deadline", "_items", "_nudged", "_own", "_reader", "_serial")

    def __init__(self) -> None:
        self._items: list[Ask | Message | Nudge] = []
        self._own: list[Event] = []
        self._deadline, self._serial = math.inf, 0
        self._nudged = False
        self._reader: trio.lowlevel.Task | None = None  # while it waits

    def put(self, item: Ask | Message | Nudge) -> None:
        self._items.append(item)
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    def nudge(self) -> None:
        """Once for as long as nobody has looked."""
        if not self._nudged:
            self._nudged = True
            self.put(Nudge())

    def own(self, event: Event) -> None:
        """Word from the task to itself, before all other."""
        self._own.append(event)

    def set_timer(self, serial: int, deadline: float) -> None:
        self._deadline, self._serial = deadline, serial

    async def next(self) -> Item:
        """What comes next; the others have their turn before."""
        if self._own:
            await trio.lowlevel.checkpoint()
            return self._own.pop(0)
        if self._items:
            await trio.lowlevel.checkpoint()
        elif self._deadline == math.inf:
            await self._wait()
        else:
            with trio.move_on_at(self._deadline):
                await self._wait()
        if not self._items or trio.current_time() >= self._deadline:
            self._deadline = math.inf
            return TimerFired(self._serial)
        item = self._items.pop(0)
        if isinstance(item, Nudge):
            self._nudged = False
        return item

    async def _wait(self) -> None:
        """A channel would do the same with three kilobytes a container."""
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._leave)

    def _leave(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED
