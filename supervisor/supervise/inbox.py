"""What comes to a container's task: messages, requests, its one timer, and word that something around it has changed."""

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import trio

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
    """Unbounded: what may come in is bounded by what was asked for, and who delivers must not wait."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Ask | Message | Nudge](math.inf)
        self._own: deque[Event] = deque()
        self._deadline, self._serial = math.inf, 0
        self._nudged = False

    def put(self, item: Ask | Message) -> None:
        self._send.send_nowait(item)

    def nudge(self) -> None:
        """Once for as long as nobody has looked."""
        if not self._nudged:
            self._nudged = True
            self._send.send_nowait(Nudge())

    def own(self, event: Event) -> None:
        """Word from the task to itself, before all other."""
        self._own.append(event)

    def set_timer(self, serial: int, deadline: float) -> None:
        self._deadline, self._serial = deadline, serial

    async def next(self) -> Item:
        if self._own:
            return self._own.popleft()
        item: Item = TimerFired(self._serial)
        with trio.move_on_at(self._deadline) as alarm:
            item = await self._receive.receive()
        if alarm.cancelled_caught:
            self._deadline = math.inf
        if isinstance(item, Nudge):
            self._nudged = False
        return item
