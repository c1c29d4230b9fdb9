"""Connections: one for each batch, whose orderly end says that the receiver has read all of it.

Law: TCP acknowledges what a kernel has, not what a program has read. A program that ends with unread bytes resets
the connection; one that has read everything up to our end closes it in turn. So `finish` waits for that.
"""

import encodings.idna  # noqa: F401  # host names are looked up after the drop, when nothing can be imported
import ssl
from contextlib import suppress

import trio

from supervisor.ship.carrier import ShipError


async def connect(host: str, port: int, tls: ssl.SSLContext | None) -> trio.abc.Stream:
    """Raises OSError, or trio.BrokenResourceError where TLS does not come about."""
    plain = await trio.open_tcp_stream(host, port)
    if tls is None:
        return plain
    stream = trio.SSLStream(plain, tls, server_hostname=host)
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def finish(stream: trio.abc.Stream) -> None:
    """After the last byte: raises if the other side does not end in order too."""
    plain = stream
    if isinstance(stream, trio.SSLStream):
        plain = await _say_goodbye(stream)
    elif isinstance(stream, trio.abc.HalfCloseableStream):
        await stream.send_eof()
    while await plain.receive_some(1 << 16):
        pass


async def _say_goodbye(stream: "trio.SSLStream[trio.SocketStream]") -> trio.SocketStream:
    plain = stream.transport_stream
    try:
        await stream.unwrap()
    except trio.BrokenResourceError as error:
        # A receiver may end without a goodbye of its own; whether it was in order, the connection tells.
        if not isinstance(error.__cause__, ssl.SSLError):
            raise
    with suppress(trio.BrokenResourceError):
        await plain.send_eof()
    return plain


def split(address: str) -> tuple[str, int]:
    """HOST:PORT or [HOST]:PORT, checked when it was read."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def send(stream: trio.abc.Stream, data: bytes) -> None:
    """All of it and its receipt; the stream is closed whatever happens."""
    try:
        await stream.send_all(data)
        await finish(stream)
    except trio.BrokenResourceError as error:
        raise ShipError(f"the connection broke: {error.__cause__ or error}") from error
    finally:
        await trio.aclose_forcefully(stream)
