"""Where root asks for a command in a container: RUNTIME_DIR/exec.sock.

The daemon has no part in it, since it may name no command. Who may ask is whom the socket's mode lets in,
the owner alone, and who has the helper's own user id by the kernel's word (SO_PEERCRED). The helper
waits for nobody: a client costs one descriptor until its one datagram is here, and only so many
clients are waited for. Descriptors cannot be sent along: no room is given for them.
"""

import os
import select
import socket
import struct
from contextlib import suppress
from typing import NamedTuple

from supervisor.errors import ProtocolError
from supervisor.helper.asked import VISIT_MAX, Visit, decode_visit
from supervisor.helper.protocol import Report, encode_report

SOCKET = "exec.sock"
_PENDING = 32  # clients that have not said yet what they want
_FORBIDDEN = "only the user who started the supervisor may run commands in its containers"
_CREDENTIALS = struct.Struct("3i")


class Guest(NamedTuple):
    """Who asked, for what, and where the answer goes; `pid` is 0 in a PID namespace that we do not see."""

    connection: socket.socket
    visit: Visit
    pid: int


class Door:
    def __init__(self, runtime_dir: str, poll: select.poll) -> None:
        self.poll = poll
        self.pending: dict[int, socket.socket] = {}
        self.socket = _bind(runtime_dir)
        self.open = False
        self.unlock()

    def unlock(self) -> None:
        if not self.open:
            self.open = True
            self.poll.register(self.socket, select.POLLIN)

    def knows(self, descriptor: int) -> bool:
        return descriptor == self.socket.fileno() or descriptor in self.pending

    def hear(self, descriptor: int) -> Guest | None:
        """Whoever has just said what they want."""
        if descriptor == self.socket.fileno():
            self._let_in()
            return None
        try:
            data = self.pending[descriptor].recv(VISIT_MAX + 1)
        except BlockingIOError:
            return None  # the event was an earlier client's that had this number
        except OSError:
            data = b""
        connection = self._forget(descriptor)
        try:
            if data:
                pid, _, _ = _CREDENTIALS.unpack(_peer(connection))
                return Guest(connection, decode_visit(data), pid)
        except ProtocolError as error:
            deny(connection, "", "invalid", f"not understood: {error}")
        connection.close()
        return None

    def _let_in(self) -> None:
        try:
            connection, _ = self.socket.accept()
        except BlockingIOError:
            return
        except OSError:
            # No descriptor is left. Whoever waits goes on waiting until something here has ended.
            self.open = False
            self.poll.unregister(self.socket)
            return
        connection.setblocking(False)
        _, uid, _ = _CREDENTIALS.unpack(_peer(connection))
        if uid != os.geteuid():
            deny(connection, "", "forbidden", _FORBIDDEN)
            connection.close()
            return
        if len(self.pending) == _PENDING:
            self._forget(next(iter(self.pending))).close()
        self.pending[connection.fileno()] = connection
        self.poll.register(connection, select.POLLIN)

    def _forget(self, descriptor: int) -> socket.socket:
        self.poll.unregister(descriptor)
        self.unlock()
        return self.pending.pop(descriptor)

    def close(self) -> None:
        """The end: nobody comes in any more."""
        for one in (self.socket, *self.pending.values()):
            one.close()


def deny(connection: socket.socket, name: str, code: str, why: str) -> None:
    """Tell the client, if it still listens; `code` is a RequestError's."""
    with suppress(OSError):
        connection.send(encode_report(Report("denied", name, path=why, hint=code)))


def _peer(connection: socket.socket) -> bytes:
    return connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)


def _bind(runtime_dir: str) -> socket.socket:
    """In place of one that a helper before us left; by the folder's descriptor, since an address is short."""
    folder = os.open(runtime_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    before = os.umask(0o177)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with suppress(FileNotFoundError):
            os.unlink(SOCKET, dir_fd=folder)
        listening.bind(f"/proc/self/fd/{folder}/{SOCKET}")
        listening.listen(_PENDING)
    finally:
        os.umask(before)
        os.close(folder)
    listening.setblocking(False)
    return listening
