"""A look at a service through its network: whether it accepts a connection, and what it answers over HTTP.

Runs in a forked child of the helper that has no power left, in the container's network namespace. What comes over
the connection is the container's to choose: read up to a bound, for one status line, and quoted as printable text.
"""

import errno
import os
import re
import select
import socket
import time

from supervisor.helper.protocol import Probe

_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: ([^\r\n]*))?\r?\n")
_HEAD = 4096  # bytes within which the status line must have ended
_BODY = 1 << 20  # bytes of an answer that are read to its end, so that whoever answers is not broken off
_QUOTED = 80


class Look:
    """`alone` is a socket whose end tells that nobody waits for the result any more: then it is over."""

    def __init__(self, probe: Probe, alone: socket.socket) -> None:
        self.probe, self.alone = probe, alone
        self.deadline = time.monotonic() + probe.timeout
        self.connection: socket.socket | None = None

    def why_not(self) -> str:
        """What is wrong, in a few words; "" when all is well. Raises TimeoutError."""
        why = ""
        for host in self.probe.hosts:
            try:
                self.connection = self._connect(host)
                return self._ask(self.connection) if self.probe.says else ""
            except TimeoutError:
                raise
            except OSError as error:
                why = why or f"port {self.probe.port} of {host}: {os.strerror(error.errno or 0)}"
        return why

    def read_out(self) -> None:
        """Read the rest of the answer, for as long as there is time."""
        left = _BODY if self.connection and self.probe.says else 0
        try:
            while self.connection and left > 0:
                data = self._receive(self.connection)
                left -= len(data) or left
        except OSError:
            return

    def _connect(self, host: str) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        error = made.connect_ex((host, self.probe.port))
        if error == errno.EINPROGRESS:
            self._await(made, select.POLLOUT)
            error = made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            made.close()
            raise OSError(error, "connect")
        return made

    def _ask(self, connection: socket.socket) -> str:
        left = self.probe.says.encode()
        while left:
            self._await(connection, select.POLLOUT)
            left = left[connection.send(left) :]
        heard = b""
        while b"\n" not in heard and len(heard) < _HEAD:
            data = self._receive(connection)
            if not data:
                return "closed the connection before it answered"
            heard += data
        return judge(heard)

    def _receive(self, connection: socket.socket) -> bytes:
        self._await(connection, select.POLLIN)
        return connection.recv(65536)

    def _await(self, connection: socket.socket, event: int) -> None:
        poll = select.poll()
        poll.register(connection, event)
        poll.register(self.alone, select.POLLIN)
        left = self.deadline - time.monotonic()
        ready = {descriptor for descriptor, _ in poll.poll(left * 1000)} if left > 0 else set()
        if self.alone.fileno() in ready:
            os._exit(0)
        if not ready:
            raise TimeoutError


def judge(heard: bytes) -> str:
    """What is wrong with the beginning of an HTTP answer, "" for 2xx and 3xx (RFC 9110, 15)."""
    status = _STATUS.match(heard)
    if status is None:
        return "did not answer in HTTP/1.1"
    if b"200" <= status[1] < b"400":
        return ""
    reason = (status[2] or b"")[:_QUOTED].decode("ascii", "replace")
    words = "".join(letter if letter.isprintable() else "?" for letter in reason)
    return f"answered {status[1].decode()} {words}".rstrip()
