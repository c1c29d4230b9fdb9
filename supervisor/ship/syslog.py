"""Type syslog: RFC 5424 over TCP or TLS with octet counting (RFC 6587, RFC 5425), UDP, or a Unix socket.

Laws: a message carries the record's identity as structured data; its text is what was printed, byte for byte, or
the supervisor's record as JSON. Only a text longer than `longest` is cut, and says so (`cut`, its whole length).
"""

import re
import string
from typing import NamedTuple

from supervisor.core.sinks import FACILITIES, Sink
from supervisor.ship import datagrams, streams, tls
from supervisor.ship.carrier import gently
from supervisor.ship.record import Record, text_of

_SEVERITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
#: 32473 is the enterprise number that is nobody's (RFC 5612).
_ELEMENT = "modoki@32473"
_NIL = "-"
_SPECIAL = re.compile(r'(["\\\]])')
_PRINTED = frozenset(string.printable) - frozenset(string.whitespace)


class Form(NamedTuple):
    """How messages of one sink look; `host` as RFC 5424 has it."""

    facility: int
    host: str
    longest: int


def form(sink: Sink) -> Form:
    return Form(FACILITIES.index(sink.facility), _word(sink.host, 255), sink.max_message)


def message(record: Record, form: Form) -> bytes:
    """One record without framing."""
    head = record.head
    priority = form.facility * 8 + _SEVERITY.get(head.level, 6)
    text = text_of(record)
    named = [("id", record.id)]
    if head.seq:
        named += [("run", str(head.run)), ("stream", head.stream), ("seq", str(head.seq))]
    if len(text) > form.longest:
        named.append(("cut", str(len(text))))
        text = text[: form.longest]
    data = " ".join(f'{key}="{_quoted(value)}"' for key, value in named)
    name = _word(head.container or "supervisor", 48)
    run = str(head.run) if head.run else _NIL
    kind = _word(head.stream or head.event, 32)
    first = f"<{priority}>1 {head.ts} {form.host} {name} {run} {kind} [{_ELEMENT} {data}] "
    return first.encode() + text


def _quoted(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)


def _word(text: str, longest: int) -> str:
    return "".join(char if char in _PRINTED else "_" for char in text[:longest]) or _NIL


class OverStream:
    """TCP, TLS, or a Unix stream."""

    def __init__(self, sink: Sink) -> None:
        self._form = form(sink)
        self._transport, _, self._where = sink.address.partition(":")
        self._tls = tls.context(sink) if self._transport == "tls" else None

    async def pack(self, records: list[Record]) -> bytes:
        return b"".join(await gently(self._framed, records))

    def _framed(self, record: Record) -> bytes:
        one = message(record, self._form)
        return b"%d %b" % (len(one), one)

    async def carry(self, packed: bytes) -> None:
        host, port = streams.split(self._where)
        await streams.send(await streams.connect(host, port, self._tls), packed)


class OverDatagrams:
    """UDP, or a Unix socket such as /dev/log."""

    def __init__(self, sink: Sink) -> None:
        self._form = form(sink)._replace(longest=min(sink.max_message, datagrams.LONGEST))
        self._address = sink.address

    async def pack(self, records: list[Record]) -> list[bytes]:
        return await gently(lambda record: message(record, self._form), records)

    async def carry(self, packed: list[bytes]) -> None:
        await datagrams.send(self._address, packed)
