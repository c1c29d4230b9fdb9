"""Request bodies from records by a template: text with `${word}` where something of the record goes.

Laws: what is put in is JSON: `record` is an object, `members` the same without its braces, the numbers `run`,
`seq` and `unix_nano` are digits; everything else is text escaped as between the quotes of a JSON string. So nothing
that a container prints ends a string. `$$` is a `$`.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from supervisor.core.sinks import Template
from supervisor.ship.record import NAMED, Record, text_of

NDJSON = Template("${record}")
#: A stream for each set of labels. The line is the record: two lines alike at one instant stay two.
LOKI = Template(
    record='{"stream":{"host":"${host}","container":"${container}","stream":"${stream}","level":"${level}"},'
    '"values":[["${unix_nano}","${record_text}"]]}',
    head='{"streams":[',
    between=",",
    tail="]}",
)
#: The id makes a record that comes twice a conflict, which is as good as taken.
ELASTICSEARCH = Template(
    '{"create":{"_id":"${host}/${id}"}}\n{"@timestamp":"${ts}",${members}}',
)
PRESETS = {"ndjson": NDJSON, "loki": LOKI, "elasticsearch": ELASTICSEARCH}

_PLACE = re.compile(r"\$(?:(\$)|\{([a-z_]+)\})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Writer:
    """`host` and `fields` are put into every record, as its first members after `id`."""

    def __init__(self, template: Template, host: str, fields: tuple[tuple[str, str], ...]) -> None:
        self._host = host
        members = "".join(f",{_json(key)}:{_json(value)}" for key, value in fields)
        self._fields = members.encode()
        self._parts = _parse(template.record)
        self._head, self._between, self._tail = (
            one.replace("$$", "$").encode() for one in (template.head, template.between, template.tail)
        )

    def body(self, records: list[bytes]) -> bytes:
        """Of what `one` made."""
        return self._head + self._between.join(records) + self._tail

    def one(self, record: Record) -> bytes:
        return b"".join([part if isinstance(part, bytes) else part(self, record) for part in self._parts])

    def members(self, record: Record) -> bytes:
        return b'"id":"' + escaped(record.id) + b'"' + self._fields + b"," + record.raw[1:-1]

    def host(self, _record: Record) -> bytes:
        return escaped(self._host)


Part = Callable[[Writer, Record], bytes]


def unix_nano(ts: str) -> int:
    """Nanoseconds since the epoch of a record's `ts`."""
    passed = datetime.fromisoformat(ts) - _EPOCH
    return ((passed.days * 86400 + passed.seconds) * 1_000_000 + passed.microseconds) * 1000


def escaped(text: str) -> bytes:
    return msgspec.json.encode(text)[1:-1]


def _json(text: str) -> str:
    return msgspec.json.encode(text).decode()


def _of_head(key: str) -> Part:
    return lambda _, record: escaped(str(getattr(record.head, key)))


WORDS: dict[str, Part] = {
    **{key: _of_head(key) for key in NAMED},
    "id": lambda _, record: escaped(record.id),
    "host": Writer.host,
    "text": lambda _, record: escaped(text_of(record).decode(errors="backslashreplace")),
    "unix_nano": lambda _, record: str(unix_nano(record.head.ts)).encode(),
    "members": Writer.members,
    "record": lambda writer, record: b"{" + writer.members(record) + b"}",
    "record_text": lambda writer, record: escaped("{" + writer.members(record).decode() + "}"),
}


def _parse(text: str) -> list[Any]:
    """Bytes and parts in turn."""
    parts: list[bytes | Part] = []
    at = 0
    for match in _PLACE.finditer(text):
        parts += [text[at : match.start()].encode(), b"$" if match[1] else WORDS[match[2]]]
        at = match.end()
    return [*parts, text[at:].encode()]
