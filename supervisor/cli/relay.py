"""Bytes between this program's own stdin, stdout and stderr and those of a command in a container.

Laws: one thread that waits in poll(2) and never in a write to the command, so neither side can block the
other for good; nothing is altered or held back; what the command has written by its end is written here
before this program ends, and no more is waited for; a reader that has gone is told to the command as to
any writer of a pipe.
"""

import errno
import fcntl
import os
import select
import struct
import termios
from collections.abc import Callable

from supervisor.launcher.visit import Report, Visitor

_CHUNK = 65536
_HELD = 1 << 20  # a terminal never holds more


class Relay:
    """`connected` is called once the command's streams are here, with its terminal's descriptor or -1."""

    def __init__(self, visitor: Visitor, connected: Callable[[int], None]) -> None:
        self.visitor = visitor
        self.connected = connected
        self.into = -1  # the command's stdin
        self.unwritten = b""
        self.listening = True  # to our own stdin
        self.out: dict[int, int] = {}  # the command's stdout and stderr → ours
        self.terminal = -1

    def run(self) -> Report | None:
        """Until the command has ended, or was never begun; None when its container ended with it."""
        while True:
            for descriptor, event in self._wait():
                if descriptor == self.visitor.fileno():
                    report, streams = self.visitor.receive()
                    if report is None or report.what != "streams":
                        self._drain()
                        return report
                    self._connect(streams)
                elif descriptor in self.out and event & ~select.POLLOUT:
                    self._pass(descriptor, os.read)
                if descriptor == self.into and event & (select.POLLOUT | select.POLLERR):
                    self._feed(event)
                elif descriptor == 0 and self.into > 0:
                    self._read_own()

    def _wait(self) -> list[tuple[int, int]]:
        wanted = {self.visitor.fileno(): select.POLLIN} | dict.fromkeys(self.out, select.POLLIN)
        if self.into >= 0:
            wanted[self.into] = wanted.get(self.into, 0) | (select.POLLOUT if self.unwritten else 0)
            if self.listening and not self.unwritten:
                wanted[0] = select.POLLIN
        poll = select.poll()
        for descriptor, events in wanted.items():
            poll.register(descriptor, events)
        return poll.poll()

    def _connect(self, streams: list[int]) -> None:
        for one in streams:
            os.set_blocking(one, False)
        if len(streams) == 1:
            self.terminal = self.into = streams[0]
            self.out = {streams[0]: 1}
        else:
            self.into = streams[0]
            self.out = {streams[1]: 1, streams[2]: 2}
        self.connected(self.terminal)

    # ── into the command ───────────────────────────────────────────────────────────────

    def _read_own(self) -> None:
        try:
            self.unwritten = os.read(0, _CHUNK)
        except BlockingIOError:
            return
        if self.unwritten:
            self._feed(select.POLLOUT)
        else:
            self.listening = False
            self._no_more_input()

    def _feed(self, event: int) -> None:
        if event & select.POLLERR and self.terminal < 0:
            self._no_more_input()  # nobody reads it any more
            return
        try:
            self.unwritten = self.unwritten[os.write(self.into, self.unwritten) :]
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self._no_more_input()

    def _no_more_input(self) -> None:
        if self.terminal < 0:
            os.close(self.into)
        self.into, self.unwritten = -1, b""

    # ── out of the command ─────────────────────────────────────────────────────────────

    def _pass(self, source: int, read: Callable[[int, int], bytes], most: int = _CHUNK) -> int:
        """One chunk; how long it was, 0 when there is none now or none any more."""
        try:
            data = read(source, min(most, _CHUNK))
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno != errno.EIO:  # how a terminal says that nobody has it open any more
                raise
            data = b""
        if not data or not _write(self.out[source], data):
            self._no_more_output(source)
            if data and source == self.terminal:
                raise BrokenPipeError  # as for any program at a terminal whose output nobody reads
        return len(data)

    def _no_more_output(self, source: int) -> None:
        del self.out[source]
        if source == self.terminal:
            self.into, self.unwritten = -1, b""  # nobody is there to be typed to
        else:
            os.close(source)  # which tells who writes on

    def _drain(self) -> None:
        """What is there, and not what somebody whom the command left behind may write for ever."""
        for source in [*self.out]:
            left = _HELD if source == self.terminal else _waiting(source)
            while left > 0 and source in self.out:
                length = self._pass(source, os.read, left)
                left = left - length if length else 0


def _waiting(pipe: int) -> int:
    (length,) = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)))
    return int(length)


def _write(descriptor: int, data: bytes) -> bool:
    """All of it; False when nobody reads it any more. Also to one that somebody has set not to block."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])
        except BrokenPipeError:
            return False
    return True
