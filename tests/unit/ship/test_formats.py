"""Holds: whatever a container prints arrives as it was in every format, and ends nothing that it stands in."""

from __future__ import annotations

import base64
import json
import re
import struct
from typing import Any

import msgspec
import trio
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2

from supervisor.core.sinks import WORDS, Sink, Template
from supervisor.ship import journal, otlp, syslog, template
from supervisor.ship.carrier import Carrier
from supervisor.ship.record import Record, head_of, identity
from supervisor.ship.template import LOKI, NDJSON, Writer

TS = "2026-11-23T12:34:56.789012Z"
NANO = 1795437296789012000
SYSLOG = Sink(type="syslog", address="unix:/dev/log", host="here")
#: RFC 5424, section 6: header, structured data with escapes, text.
MESSAGE = re.compile(
    rb"<(\d{1,3})>1 (\S+) (\S+) (\S+) (\S+) (\S+) \[modoki@32473((?: [a-z]+=\"(?:[^\"\\\]]|\\[\"\\\]])*\")+)\] (.*)",
    re.DOTALL,
)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"))
lines = st.one_of(texts, st.binary().map(lambda raw: raw.replace(b"\n", b"")))


def record(line: str | bytes | dict[str, Any], **more: Any) -> Record:
    """As capture writes it."""
    body: dict[str, Any] = {
        "ts": TS,
        "level": "info",
        "event": "output",
        "container": "web.1",
        "run": 3,
        "stream": "stderr",
        "seq": 17,
    }
    if isinstance(line, dict):
        body["data"] = line
    elif isinstance(line, bytes):
        try:
            body["line"] = line.decode()
        except UnicodeDecodeError:
            body["line_b64"] = base64.b64encode(line).decode()
    else:
        body["line"] = line
    return made(body | more)


def made(body: dict[str, Any]) -> Record:
    raw = msgspec.json.encode(body)
    head = head_of(raw)
    assert head is not None
    return Record(raw, head, identity(head, "2026", 40))


def event() -> Record:
    body = {
        "ts": TS,
        "level": "warning",
        "event": "container.exited",
        "container": "web.1",
        "run": 3,
        "code": None,
        "signal": 9,
        "cpu": {"usage_usec": 1 << 40, "share": 0.5, "ok": True},
    }
    return made(body)


def packed(carrier: Carrier, *records: Record) -> Any:
    return trio.run(carrier.pack, list(records))


def body_of(writer: Writer, *records: Record) -> bytes:
    return writer.body([writer.one(one) for one in records])


def as_bytes(line: str | bytes) -> bytes:
    return line.encode() if isinstance(line, str) else line


# ── syslog ─────────────────────────────────────────────────────────────────────────────


@given(lines)
def test_a_syslog_message_has_one_header_and_the_very_bytes(line: str | bytes) -> None:
    found = MESSAGE.fullmatch(syslog.message(record(line), syslog.form(SYSLOG)))
    assert found
    assert found.groups()[:6] == (b"30", TS.encode(), b"here", b"web.1", b"3", b"stderr")
    assert found[7] == b' id="web.1/3/stderr/17" run="3" stream="stderr" seq="17"'
    assert found[8] == as_bytes(line)


def test_an_event_is_a_syslog_message_of_its_severity_with_the_record_as_text() -> None:
    found = MESSAGE.fullmatch(syslog.message(event(), syslog.form(SYSLOG)))
    assert found
    assert (found[1], found[6], json.loads(found[8])["signal"]) == (b"28", b"container.exited", 9)


def test_a_text_that_is_too_long_is_cut_and_says_so() -> None:
    found = MESSAGE.fullmatch(syslog.message(record("x" * 1000), syslog.form(SYSLOG)._replace(longest=480)))
    assert found
    assert found[7].endswith(b' cut="1000"')
    assert found[8] == b"x" * 480


def test_octets_are_counted_over_streams() -> None:
    rest = packed(
        syslog.OverStream(Sink(type="syslog", address="tcp:x:1", host="here")), record("é"), record("")
    )
    while rest:
        count, _, rest = rest.partition(b" ")
        assert MESSAGE.fullmatch(rest[: int(count)])
        rest = rest[int(count) :]


# ── journald ───────────────────────────────────────────────────────────────────────────


def fields(entry: bytes) -> dict[bytes, bytes]:
    """As journald reads them."""
    found = {}
    while entry:
        first, _, rest = entry.partition(b"\n")
        key, equals, value = first.partition(b"=")
        if not equals:
            (length,) = struct.unpack("<Q", rest[:8])
            value, rest = rest[8 : 8 + length], rest[9 + length :]
        found[key], entry = value, rest
    return found


@given(st.binary())
def test_a_journal_entry_has_the_very_bytes_and_no_field_more(line: bytes) -> None:
    raw = {"line_b64": base64.b64encode(line).decode()}
    entry = fields(
        journal.entry(
            made(
                {
                    "ts": TS,
                    "level": "error",
                    "event": "output",
                    "container": "web",
                    "run": 1,
                    "stream": "stdout",
                    "seq": 2,
                }
                | raw
            )
        )
    )
    assert entry == {
        b"MESSAGE": line, b"PRIORITY": b"3", b"SYSLOG_IDENTIFIER": b"web", b"MODOKI_ID": b"web/1/stdout/2", b"MODOKI_TS": TS.encode(),
        b"MODOKI_EVENT": b"output", b"MODOKI_CONTAINER": b"web", b"MODOKI_RUN": b"1", b"MODOKI_STREAM": b"stdout", b"MODOKI_SEQ": b"2",
    }  # fmt: skip


# ── OTLP ───────────────────────────────────────────────────────────────────────────────


def parsed(*records: Record) -> Any:
    """As OpenTelemetry's own classes read it."""
    request: Any = logs_service_pb2.ExportLogsServiceRequest()
    body = packed(otlp.Otlp(Sink(type="otlp", url="http://x/", host="here")), *records)
    json_format.Parse(body, request)
    return request


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "kvlist_value":
        return {one.key: value_of(one.value) for one in value.kvlist_value.values}
    if kind == "array_value":
        return [value_of(one) for one in value.array_value.values]
    return getattr(value, kind) if kind else None


def attributes(holder: Any) -> dict[str, Any]:
    return {one.key: value_of(one.value) for one in holder.attributes}


@given(lines)
def test_an_otlp_record_has_the_line_as_its_body(line: str | bytes) -> None:
    (resource,) = parsed(record(line)).resource_logs
    assert attributes(resource.resource) == {"service.name": "web.1", "host.name": "here"}
    (found,) = resource.scope_logs[0].log_records
    body = value_of(found.body)
    assert (body.encode() if isinstance(body, str) else body) == as_bytes(line)
    assert (found.time_unix_nano, found.severity_number, found.severity_text) == (NANO, 9, "info")
    assert attributes(found) == {
        "log.record.uid": "web.1/3/stderr/17", "container.name": "web.1", "log.iostream": "stderr", "modoki.run": 3, "modoki.seq": 17,
    }  # fmt: skip


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 63) - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(texts, json_values, max_size=5))
def test_json_that_was_printed_is_nested_in_the_body(data: dict[str, Any]) -> None:
    (found,) = parsed(record(data)).resource_logs[0].scope_logs[0].log_records
    assert value_of(found.body) == data


def test_containers_are_resources_and_so_is_the_supervisor() -> None:
    ours, web = sorted(
        parsed(record("x"), event(), record("y")).resource_logs,
        key=lambda one: len(one.scope_logs[0].log_records),
    )
    assert len(web.scope_logs[0].log_records) == 2
    assert attributes(ours.resource)["service.name"] == "supervisor"
    (found,) = ours.scope_logs[0].log_records
    assert (found.event_name, found.severity_number) == ("container.exited", 13)
    assert value_of(found.body) == {
        "code": None,
        "signal": 9,
        "cpu": {"usage_usec": 1 << 40, "share": 0.5, "ok": True},
    }
    assert attributes(found)["log.record.uid"] == "supervisor/2026/40"


def test_what_an_otlp_receiver_refuses_is_counted() -> None:
    answer = b'{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too\\nold"}}'
    assert otlp._partial(answer) == (3, "too old")
    for fine in (
        b"",
        b"{}",
        b'{"partialSuccess":{}}',
        b"OK",
        b'{"partialSuccess":{"errorMessage":"slow down"}}',
    ):
        assert otlp._partial(fine) is None


# ── templates ──────────────────────────────────────────────────────────────────────────


@given(st.lists(lines, min_size=1, max_size=4))
def test_ndjson_is_the_record_with_two_members_before_it(found: list[str | bytes]) -> None:
    body = body_of(Writer(NDJSON, "here", (("host", 'he"re'),)), *map(record, found))
    for line, one in zip(body.decode().split("\n")[:-1], found, strict=True):
        assert json.loads(line) == {"id": "web.1/3/stderr/17", "host": 'he"re', **json.loads(record(one).raw)}


@given(st.lists(lines, min_size=1, max_size=4))
def test_a_push_to_loki_is_json_whose_lines_are_the_records(found: list[str | bytes]) -> None:
    body = json.loads(body_of(Writer(LOKI, "here", ()), *map(record, found)))
    for stream, one in zip(body["streams"], found, strict=True):
        assert stream["stream"] == {"host": "here", "container": "web.1", "stream": "stderr", "level": "info"}
        ((nano, line),) = stream["values"]
        assert nano == str(NANO)
        assert json.loads(line) == {"id": "web.1/3/stderr/17", **json.loads(record(one).raw)}


@given(texts)
def test_every_word_stands_in_quotes_and_ends_none(line: str) -> None:
    quoted = [word for word in WORDS if word not in {"record", "members"}]
    text = "[" + ",".join(f'"{word}","${{{word}}}"' for word in quoted) + ',"$$",${record},{${members}}]'
    found = json.loads(body_of(Writer(Template(text, between="", tail=""), 'he"re', ()), record(line)))
    words = dict(zip(found[:-3:2], found[1:-3:2], strict=True))
    assert list(words) == quoted
    assert (words["text"], words["host"], words["seq"], words["unix_nano"]) == (
        line,
        'he"re',
        "17",
        str(NANO),
    )
    assert found[-3:] == ["$", json.loads(words["record_text"]), json.loads(words["record_text"])]


def test_the_words_that_are_told_are_those_that_there_are() -> None:
    assert set(WORDS) == set(template.WORDS)
