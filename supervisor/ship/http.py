"""HTTP/1.1 as a client: one POST, one connection.

Laws: a redirect is not followed; the answer's body is read up to LONGEST bytes, the rest is of no interest.
"""

import ssl
from typing import NamedTuple
from urllib.parse import urlsplit

import h11
import trio

from supervisor.ship import streams
from supervisor.ship.carrier import ShipError

#: Elasticsearch answers with some 200 bytes for each record.
LONGEST = 8 << 20
_BLOCK = 1 << 16
_SHOWN = 200


class Target(NamedTuple):
    host: str
    port: int
    path: str
    secure: bool

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"


class Answer(NamedTuple):
    status: int
    body: bytes


def target(url: str) -> Target:
    """Of a URL that was checked when it was read."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.hostname or "", parts.port or (443 if secure else 80), path, secure)


async def post(to: Target, tls: ssl.SSLContext | None, headers: list[tuple[str, str]], body: bytes) -> Answer:
    """Raises OSError, ShipError, or trio's errors of a broken stream."""
    stream = await streams.connect(to.host, to.port, tls)
    try:
        return await _exchange(stream, to, headers, body)
    except h11.RemoteProtocolError as error:
        raise ShipError(f"this is no HTTP: {error}"[:_SHOWN]) from None
    finally:
        await trio.aclose_forcefully(stream)


async def _exchange(
    stream: trio.abc.Stream, to: Target, headers: list[tuple[str, str]], body: bytes
) -> Answer:
    connection = h11.Connection(h11.CLIENT)
    own = [("Host", to.authority), ("Content-Length", str(len(body))), ("Connection", "close")]
    head = connection.send(h11.Request(method="POST", target=to.path, headers=[*own, *headers])) or b""
    connection.send(h11.Data(data=body))
    connection.send(h11.EndOfMessage())
    try:
        await stream.send_all(head)
        await stream.send_all(body)
    except trio.BrokenResourceError as error:
        # It may have answered before it closed: 413, or why it will not listen.
        return await _answer(stream, connection, error)
    return await _answer(stream, connection)


async def _answer(
    stream: trio.abc.Stream, connection: h11.Connection, broken: Exception | None = None
) -> Answer:
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            try:
                data = await stream.receive_some(_BLOCK)
            except trio.BrokenResourceError as error:
                raise broken or error from None
            if not data and not status:
                raise broken or ShipError("it closed the connection without an answer")
            connection.receive_data(bytes(data))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > LONGEST:
                break
        elif not isinstance(event, h11.InformationalResponse):
            break
    return Answer(status, bytes(body))
