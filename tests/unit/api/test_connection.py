"""Whom one connection waits for: the peer only where it is the peer that could go on."""

import math
import os
import socket

import trio
import trio.lowlevel
import trio.testing
from starlette.applications import Starlette

from supervisor.api.connection import Connection
from supervisor.core.operator import Operator


def test_an_answer_that_finds_room_at_once_never_waits_for_the_peer() -> None:
    """Though it is sent, and the peer may have read it, before its sender gets its next turn."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        connection = Connection(Starlette(), stream, os.getuid(), Operator(os.getuid(), os.getpid()))
        seen: list[float] = []
        with theirs:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(connection._put, b"answer")
                while not connection._owed:
                    await trio.lowlevel.checkpoint()
                while connection._owed:
                    seen.append(connection.waiting_since)
                    await trio.lowlevel.checkpoint()
            assert theirs.recv(100) == b"answer"
        assert seen
        assert set(seen) == {math.inf}

    trio.run(main)


def test_an_answer_that_finds_no_room_waits_for_the_peer() -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair()
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        connection = Connection(Starlette(), stream, os.getuid(), Operator(os.getuid(), os.getpid()))
        with theirs:
            async with stream, trio.open_nursery() as nursery:
                nursery.start_soon(connection._put, b"x" * (1 << 24))
                await trio.testing.wait_all_tasks_blocked()
                assert connection.waiting_since < math.inf
                nursery.cancel_scope.cancel()

    trio.run(main)
