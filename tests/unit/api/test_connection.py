"""Whom one connection waits for: the peer only where it is the peer that could go on."""

import math
import os
import socket

import trio
import trio.testing
from starlette.applications import Starlette

from supervisor.api.connection import Connection
from supervisor.core.operator import Operator


def connected() -> tuple[Connection, socket.socket]:
    """One, and its peer's end."""
    ours, theirs = socket.socketpair()
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
    return Connection(Starlette(), stream, os.getuid(), Operator(os.getuid(), os.getpid())), theirs


def test_an_answer_that_finds_room_at_once_never_waits_for_the_peer() -> None:
    """Though it is sent, and the peer may have read it, before its sender gets its next turn."""

    async def main() -> None:
        connection, theirs = connected()
        with theirs:
            async with connection.stream:
                with connection._owing("reading"):
                    assert connection.waiting_since == math.inf

    trio.run(main)


def test_a_request_that_has_come_waits_for_us_and_no_more_for_the_peer() -> None:
    async def main() -> None:
        connection, theirs = connected()
        with theirs:
            async with connection.stream, trio.open_nursery() as nursery:
                nursery.start_soon(connection._request)
                await trio.testing.wait_all_tasks_blocked()
                assert connection.waiting_since < math.inf
                theirs.send(b"GET /v1/in")
                assert connection.waiting_since == math.inf
                await trio.testing.wait_all_tasks_blocked()
                assert connection.waiting_since < math.inf
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_an_answer_that_finds_no_room_waits_for_the_peer() -> None:
    async def main() -> None:
        connection, theirs = connected()
        with theirs:
            async with connection.stream, trio.open_nursery() as nursery:
                nursery.start_soon(connection._put, b"x" * (1 << 24))
                await trio.testing.wait_all_tasks_blocked()
                assert connection.waiting_since < math.inf
                nursery.cancel_scope.cancel()

    trio.run(main)
