"""Type journald: the journal's native protocol, a datagram for each record, a sealed memory file for a large one.

Laws: MESSAGE is what was printed, byte for byte; a container's name is SYSLOG_IDENTIFIER; MODOKI_ID and the
other MODOKI_ fields say which record it is. A field that holds a newline or other controls is sent by its length.

Source: systemd, docs/JOURNAL_NATIVE_PROTOCOL.md.
"""

import errno
import fcntl
import os
import socket
import struct

import trio

from supervisor.core.sinks import Sink
from supervisor.ship import datagrams
from supervisor.ship.carrier import gently
from supervisor.ship.record import Record, text_of

_PRIORITY = {"debug": b"7", "info": b"6", "warning": b"4", "error": b"3", "critical": b"2"}
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)


class Journal:
    def __init__(self, sink: Sink) -> None:
        self._address = sink.address.removeprefix("unix:")

    async def pack(self, records: list[Record]) -> list[bytes]:
        return await gently(entry, records)

    async def carry(self, packed: list[bytes]) -> None:
        await datagrams.send_unix(self._address, packed, _send)


def entry(record: Record) -> bytes:
    """One record as fields."""
    head = record.head
    fields = [
        ("MESSAGE", text_of(record)),
        ("PRIORITY", _PRIORITY.get(head.level, b"6")),
        ("SYSLOG_IDENTIFIER", (head.container or "supervisor").encode()),
        ("MODOKI_ID", record.id.encode()),
        ("MODOKI_TS", head.ts.encode()),
        ("MODOKI_EVENT", head.event.encode()),
    ]
    if head.container:
        fields.append(("MODOKI_CONTAINER", head.container.encode()))
    if head.run:
        fields.append(("MODOKI_RUN", b"%d" % head.run))
    if head.stream:
        fields += [("MODOKI_STREAM", head.stream.encode()), ("MODOKI_SEQ", b"%d" % head.seq)]
    return b"".join(_field(key.encode(), value) for key, value in fields)


def _field(key: bytes, value: bytes) -> bytes:
    if b"\n" in value:
        return b"%b\n%b%b\n" % (key, struct.pack("<Q", len(value)), value)
    return b"%b=%b\n" % (key, value)


async def _send(sending: trio.socket.SocketType, one: bytes) -> None:
    try:
        await sending.send(one)
    except OSError as error:
        if error.errno not in _TOO_LARGE:
            raise
        memory = _sealed(one)
        try:
            rights = struct.pack("i", memory)
            await sending.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        finally:
            os.close(memory)


def _sealed(content: bytes) -> int:
    memory = os.memfd_create("entry", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    try:
        while content:
            content = content[os.write(memory, content) :]
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(memory)
        raise
    return memory
