"""Datagrams, with as much of a receipt as there is.

Laws: a Unix socket takes no more than its receiver's queue holds, and ours counts what has not been read
(SIOCOUTQ, unix(7)); a batch has arrived when that is nothing and the socket is still the one that we sent to. UDP
has no receipt: only that a port is closed may be heard of. What is larger than a socket takes is an error.
"""

import array
import fcntl
import os
import socket
import termios
from collections.abc import Awaitable, Callable

import trio

from supervisor.ship import streams
from supervisor.ship.carrier import ShipError

#: Bytes that a UDP datagram holds over IPv4, less room for a syslog header.
LONGEST = 65_507 - 1024
#: Seconds. Nothing tells when a queue has been read.
_LOOK = 0.01

#: Seconds in which a closed port is heard of, if at all.
_REFUSAL = 0.05

#: Puts one datagram into a socket.
Send = Callable[[trio.socket.SocketType, bytes], Awaitable[None]]


async def send(address: str, packed: list[bytes]) -> None:
    """To "unix:PATH" or "udp:HOST:PORT"."""
    kind, _, where = address.partition(":")
    if kind == "unix":
        await send_unix(where, packed)
    else:
        await _send_udp(where, packed)


async def _plainly(sending: trio.socket.SocketType, one: bytes) -> None:
    await sending.send(one)


async def send_unix(path: str, packed: list[bytes], send_one: Send = _plainly) -> None:
    """Raises ShipError where the receiver may not have read all of it."""
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sending:
        await sending.connect(path)
        before = _which(path)
        for one in packed:
            await send_one(sending, one)
        await unread(sending)
        # A receiver that ended took its queue with it, and another may stand in its place by now.
        await sending.connect(path)
        if _which(path) != before:
            raise ShipError("the receiver was started anew meanwhile")


async def _send_udp(where: str, packed: list[bytes]) -> None:
    host, port = streams.split(where)
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    family, kind, protocol, _, address = found[0]
    with trio.socket.socket(family, kind, protocol) as sending:
        await sending.connect(address)
        for one in packed:
            await sending.send(one)
        await trio.sleep(_REFUSAL)
        if error := sending.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))


async def unread(sending: trio.socket.SocketType) -> None:
    """Return once the other side has read everything."""
    while _queued(sending.fileno()):  # noqa: ASYNC110  # no event comes with it
        await trio.sleep(_LOOK)


def _queued(descriptor: int) -> int:
    answer = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.TIOCOUTQ, answer)
    return answer[0]


def _which(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino
