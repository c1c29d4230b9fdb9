"""Holds: whatever stands behind a URL, it is told in a line, and only 2xx is a receipt."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio

from supervisor.core.sinks import Sink
from supervisor.ship.carrier import ShipError
from supervisor.ship.sink import reason
from supervisor.ship.web import Web

Serve = Callable[[trio.SocketStream], Awaitable[None]]


def carried(serve: Serve, body: bytes = b"x") -> str:
    """What is said of it; "" when it was taken."""

    async def main() -> str:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, serve, 0)
            port = listeners[0].socket.getsockname()[1]
            said = ""
            try:
                with trio.fail_after(60):
                    await Web(Sink(type="http", url=f"http://127.0.0.1:{port}/")).carry(body)
            except (ShipError, OSError, trio.BrokenResourceError) as error:
                said = reason(error, 60)
            nursery.cancel_scope.cancel()
        return said

    return trio.run(main)


def answering(data: bytes) -> Serve:
    async def serve(stream: trio.SocketStream) -> None:
        got = b""
        while not got.endswith(b"\r\n\r\nx"):  # closed with bytes unread, a connection is reset
            got += await stream.receive_some(1 << 16)
        await stream.send_all(data)

    return serve


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", ""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 \r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", ""),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", ""),
        (b"HTTP/1.1 302 \r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "it answered 302"),
        (b"HTTP/1.1 500 \r\ncontent-length: 6\r\n\r\na\x1b[31m\n", "it answered 500: a [31m"),
        (b"HTTP/1.1 413 \r\ncontent-length: 0\r\n\r\n", "it answered 413"),
        (b"", "it closed the connection without an answer"),
        (b"220 mail.example.com ESMTP\r\n\r\n", "this is no HTTP: illegal status line: bytearray(b'220 mail.example.com ESMTP')"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\ncut", "this is no HTTP: peer closed connection without sending complete message body (received 3 bytes, expected 9)"),
    ],
)  # fmt: skip
def test_what_it_answers_is_told(data: bytes, said: str) -> None:
    assert carried(answering(data)) == said


def test_an_answer_before_the_body_has_been_read_is_heard() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(10)
        await stream.send_all(b"HTTP/1.1 413 \r\ncontent-length: 0\r\n\r\n")
        while await stream.receive_some(1 << 20):
            pass

    assert carried(serve, b"x" * (8 << 20)) == "it answered 413"


def test_a_connection_that_is_reset_is_no_receipt() -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some(10)  # and ends with bytes unread

    assert carried(serve, b"x" * (8 << 20)) != ""
