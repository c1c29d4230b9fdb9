"""Connections: one for each batch, whose orderly end says that the receiver has read all of it.

Law: TCP acknowledges what a kernel has, not what a program has read. A program that ends with unread bytes resets
the connection; one that has read everything up to our end closes it in turn. So the end is waited for.
"""

import encodings.idna  # noqa: F401  # host names are looked up after the drop, when nothing can be imported
import ssl
from contextlib import suppress

import trio

from supervisor.ship.carrier import ShipError

_BLOCK = 1 << 16


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


async def _finish(stream: trio.abc.Stream) -> None:
    """After the last byte: raises if the other side does not end in order too."""
    if isinstance(stream, trio.SSLStream):
        plain = stream.transport_stream
        try:
            try:
                await stream.unwrap()
            except trio.BrokenResourceError as error:
                # It may end without a goodbye of its own; whether that was in order, the connection tells.
                if not isinstance(error.__cause__, ssl.SSLError):
                    raise
            with suppress(trio.BrokenResourceError):
                await plain.send_eof()
            await _until_end(plain)
        finally:
            await trio.aclose_forcefully(plain)
    elif isinstance(stream, trio.SocketStream):
        await stream.send_eof()
        await _until_end(stream)


async def _until_end(stream: trio.abc.Stream) -> None:
    while await stream.receive_some(_BLOCK):
        pass


def split(address: str) -> tuple[str, int]:
    """HOST:PORT or [HOST]:PORT, checked when it was read."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def send(stream: trio.abc.Stream, data: bytes) -> None:
    """All of it and its receipt; the stream is closed whatever happens."""
    try:
        await stream.send_all(data)
        await _finish(stream)
    except trio.BrokenResourceError as error:
        raise ShipError(f"the connection broke: {error.__cause__ or error}") from error
    finally:
        await trio.aclose_forcefully(stream)
