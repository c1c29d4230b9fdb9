"""Serves the API on a Unix socket.

Laws: the socket is bound, with its mode and group, while still root; after the drop nothing
is imported or opened by path (a test holds that). Who may not ask is refused before a byte is
read, though the kernel should not have let them connect. A connection that breaks, idles,
floods or never reads harms itself only; who gives way where there is no more room stands in
room.py.

Hypercorn's trio worker was tried first (0.18): a peer that never reads keeps it from ending at
all (sends are shielded from cancellation; measured), HTTP/2 comes along and an upgrade to it
can hang (measured), an exception in one connection ends the nursery of all (read); and it
costs about 60 ms of import and 4 MB more than h11 directly.
"""

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import trio
from starlette.applications import Starlette

from supervisor.api.address import SOCKET
from supervisor.api.connection import GONE, Connection
from supervisor.api.handlers import to_stderr
from supervisor.api.limits import BACKLOG, LIMITS, Limits
from supervisor.api.operators import Operators, Peer, peer_of
from supervisor.api.room import Full, room_for
from supervisor.api.schema import STATUS
from supervisor.core.operator import Operator

#: How long answers under way may take once the server closes.
GRACE = 1.0
#: A user who is refused is spoken of once in this many seconds, and of at most so many users at a time.
SPOKEN_OF, SPOKEN = 60.0, 100


def bind(runtime_dir: str | int, mode: int = 0o660, gid: int | None = None) -> socket.socket:
    """A listening socket at RUNTIME_DIR/api.sock, which it replaces in one step; a folder's fd will do.

    It belongs to who runs this and to group `gid`; None: to the own one, also in a folder that
    hands its group down (the set-group-ID bit).
    """
    folder = runtime_dir if isinstance(runtime_dir, int) else os.open(runtime_dir, os.O_PATH | os.O_DIRECTORY)
    # Through the descriptor the address is short, and the folder cannot be exchanged under us.
    draft = f".{SOCKET}.{os.getpid()}"
    path = f"/proc/self/fd/{folder}/{draft}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        sock.bind(path)
        os.chown(path, -1, os.getegid() if gid is None else gid)
        os.chmod(path, mode)
        sock.listen(BACKLOG)
        os.rename(draft, SOCKET, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        sock.close()
        raise
    finally:
        if folder is not runtime_dir:
            os.close(folder)
    sock.setblocking(False)
    return sock


class _Connections:
    """The open connections, each with its own crash boundary."""

    def __init__(self, app: Starlette, door: "Door", report: Callable[[BaseException], None]) -> None:
        self.app = app
        self.door = door
        self.report = report
        self.open: set[Connection] = set()
        self.changed = trio.Event()
        self._spoken_of: dict[int, float] = {}

    async def converse(self, stream: trio.SocketStream) -> None:
        """Answer on one connection until it ends."""
        try:
            await self._converse(stream)
        except Exception as error:  # noqa: BLE001
            # A bug in one connection must not end supervision.
            self.report(error)
        finally:
            stream.socket.close()

    async def _converse(self, stream: trio.SocketStream) -> None:
        peer = peer_of(stream.socket)
        if why := self.door.operators.why_not(peer):
            self._speak_of(peer)
            await _turn_away(stream, "forbidden", why)
            return
        leaver = room_for(peer.uid, self.open, self.door.limits)
        if isinstance(leaver, Full):
            await _turn_away(stream, "unavailable", "too many connections: try again")
            return
        if leaver:
            self.open.discard(leaver)
            leaver.drop()
        operator = self.door.operators.operator(peer)
        connection = Connection(self.app, stream, peer.uid, operator, self.door.limits)
        self.open.add(connection)
        try:
            await connection.run()
        finally:
            self.open.discard(connection)
            self.changed.set()

    def _speak_of(self, peer: Peer) -> None:
        """Tell of a peer that is refused, but not as often as it likes."""
        now = trio.current_time()
        if now < self._spoken_of.get(peer.uid, 0.0):
            return
        self._spoken_of = {uid: until for uid, until in self._spoken_of.items() if now < until}
        if len(self._spoken_of) < SPOKEN:
            self._spoken_of[peer.uid] = now + SPOKEN_OF
            self.door.refused(self.door.operators.operator(peer))

    async def finish(self) -> None:
        """Let every connection end; return once none is open."""
        for connection in self.open:
            connection.finish()
        while self.open:
            self.changed = trio.Event()
            await self.changed.wait()


async def _turn_away(stream: trio.SocketStream, code: str, detail: str) -> None:
    body = json.dumps({"error": code, "detail": detail}).encode()
    head = (
        b"HTTP/1.1 %d \r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    )
    with suppress(*GONE), trio.move_on_after(1):
        await stream.send_all(head % (STATUS[code], len(body)) + body)


def _nobody(_operator: Operator) -> None:
    pass


@dataclass(frozen=True)
class Door:
    """Who may come in, how many of them, and who hears of those that may not."""

    operators: Operators
    limits: Limits = LIMITS
    refused: Callable[[Operator], None] = _nobody


async def serve(
    app: Starlette,
    sock: socket.socket,
    door: Door,
    shutdown: trio.Event,
    *,
    report: Callable[[BaseException], None] = to_stderr,
    task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on `sock` until `shutdown` is set, then let answers under way end for up to GRACE seconds.

    The socket is closed at the end; its name stays, because after the drop it cannot be removed.
    """
    connections = _Connections(app, door, report)
    listener = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    async with listener, trio.open_nursery() as conversations:
        accept = partial(
            trio.serve_listeners, connections.converse, [listener], handler_nursery=conversations
        )
        async with trio.open_nursery() as accepting:
            accepting.start_soon(accept)
            task_status.started()
            await shutdown.wait()
            accepting.cancel_scope.cancel()
        with trio.move_on_after(GRACE):
            await connections.finish()
        conversations.cancel_scope.cancel()
