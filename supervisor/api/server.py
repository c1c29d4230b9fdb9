"""Serves the API on a Unix socket.

Laws: the socket is bound, with its mode and group, while still root; after the drop nothing
is imported or opened by path (a test holds that). A connection that breaks, idles, floods or
never reads harms itself only.

Hypercorn's trio worker was tried first (0.18): a peer that never reads keeps it from ending at
all (sends are shielded from cancellation; measured), HTTP/2 comes along and an upgrade to it
can hang (measured), an exception in one connection ends the nursery of all (read); and it
costs about 60 ms of import and 4 MB more than h11 directly.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import trio
from starlette.applications import Starlette

from supervisor.api.address import SOCKET
from supervisor.api.connection import GONE, Connection
from supervisor.api.handlers import to_stderr

CONNECTIONS = 128
#: How long answers under way may take once the server closes.
GRACE = 1.0
_FULL = b'{"error":"unavailable","detail":"too many connections: try again"}'
FULL = (
    b"HTTP/1.1 503 \r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
) % (len(_FULL), _FULL)


def bind(runtime_dir: str | int, mode: int = 0o660, gid: int = -1) -> socket.socket:
    """A listening socket at RUNTIME_DIR/api.sock, which it replaces in one step; a folder's fd will do."""
    folder = runtime_dir if isinstance(runtime_dir, int) else os.open(runtime_dir, os.O_PATH | os.O_DIRECTORY)
    # Through the descriptor the address is short, and the folder cannot be exchanged under us.
    draft = f".{SOCKET}.{os.getpid()}"
    path = f"/proc/self/fd/{folder}/{draft}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.lexists(path):
            os.unlink(path)
        sock.bind(path)
        os.chown(path, -1, gid)
        os.chmod(path, mode)
        sock.listen(CONNECTIONS)
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

    def __init__(self, app: Starlette, report: Callable[[BaseException], None]) -> None:
        self.app = app
        self.report = report
        self.open: set[Connection] = set()
        self.changed = trio.Event()

    async def converse(self, stream: trio.SocketStream) -> None:
        """Answer on one connection until it ends."""
        if len(self.open) >= CONNECTIONS:
            with suppress(*GONE), trio.move_on_after(1):
                await stream.send_all(FULL)
            stream.socket.close()
            return
        connection = Connection(self.app, stream)
        self.open.add(connection)
        try:
            await connection.run()
        except Exception as error:  # noqa: BLE001
            # A bug in one connection must not end supervision.
            self.report(error)
        finally:
            stream.socket.close()
            self.open.discard(connection)
            self.changed.set()

    async def finish(self) -> None:
        """Let every connection end; return once none is open."""
        for connection in self.open:
            connection.finish()
        while self.open:
            self.changed = trio.Event()
            await self.changed.wait()


async def serve(
    app: Starlette,
    sock: socket.socket,
    shutdown: trio.Event,
    *,
    report: Callable[[BaseException], None] = to_stderr,
    task_status: "trio.TaskStatus[None]" = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer on `sock` until `shutdown` is set, then let answers under way end for up to GRACE seconds.

    The socket is closed at the end; its name stays, because after the drop it cannot be removed.
    """
    connections = _Connections(app, report)
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
