"""Signals as events of one poll(2): what waits for descriptors is woken by them, and told which they were.

A signal that comes just before poll(2) is entered is heard by a byte in a pipe (signal.set_wakeup_fd); but
for want of memory that byte may not be written. One that comes while it waits breaks it off.
"""

import errno
import os
import select
import signal
import time
from types import FrameType

_HEEDED = 2  # SIGINTs that are passed on before the helper acts by itself
_ONE_PRESS = 0.2  # seconds within which two signals are one


class Hearing:
    """Of `numbers`, in this process's only thread; others forked from it must take back the handlers."""

    def __init__(self, poll: select.poll, numbers: tuple[signal.Signals, ...]) -> None:
        self.poll = poll
        self.told: list[int] = []
        self.waiting = False
        self.wake, write_end = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, self._on_signal)
        poll.register(self.wake, select.POLLIN)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.told.append(number)
        if self.waiting:
            self.waiting = False
            raise InterruptedError(errno.EINTR, "signal")

    def wait(self, milliseconds: float | None) -> list[tuple[int, int]]:
        """The (descriptor, events) that are there; none when a signal came first."""
        try:
            self.waiting = True
            found = [] if self.told else self.poll.poll(milliseconds)
        except InterruptedError:
            return []
        finally:
            self.waiting = False
        return [each for each in found if each[0] != self.wake or not os.read(self.wake, 4096)]

    def wait_awake(self, seconds: float) -> list[tuple[int, int]]:
        """As `wait`, of what is to come any moment: to wake a processor that sleeps takes a good part of a tenth of a millisecond."""
        until = time.monotonic() + seconds
        while True:
            found = self.wait(0)
            if found or self.told or time.monotonic() >= until:
                return found

    def heard(self) -> list[int]:
        """The signals since the last time, in their order."""
        told, self.told = self.told, []
        return told


class Presses:
    """SIGTERM or SIGINT stop in order; a second SIGINT stops at once, a third without the daemon.

    `wanted` is the last that was asked for, "stop" or "stop-now"; "" when nothing was.
    """

    def __init__(self) -> None:
        self.wanted = ""
        self._interrupts, self._last = 0, 0.0

    def counts(self, number: int) -> bool:
        """Note a signal; False for one that a terminal, or timeout(1), has sent both to us and to our process group."""
        now = time.monotonic()
        if now - self._last < _ONE_PRESS:
            return False
        self._last = now
        self._interrupts += number == signal.SIGINT
        self.wanted = "stop-now" if self._interrupts > 1 else "stop"
        return True

    @property
    def unheeded(self) -> bool:
        return self._interrupts > _HEEDED
