"""Type otlp: OpenTelemetry's logs over HTTP, in the JSON encoding of its protobuf messages.

Laws: a resource for each container (`service.name`) and one for the supervisor itself. `log.record.uid` is the
record's identity, by which a receiver may drop doubles. What a container printed is the body: text, bytes that are
not UTF-8, or JSON as it is nested. 64-bit numbers are digits in quotes, as the encoding has them.

Sources: opentelemetry-proto, logs/v1/logs.proto; the OTLP specification, "OTLP/HTTP"; semantic conventions.
"""

from typing import Any

import msgspec

from supervisor import __version__
from supervisor.core.sinks import Sink
from supervisor.ship.carrier import Refused, gently
from supervisor.ship.record import Record, rest, whole
from supervisor.ship.template import unix_nano
from supervisor.ship.web import Post, shown

#: SeverityNumber of the logs data model.
_SEVERITY = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}
_PLAIN = {str: "stringValue", bool: "boolValue", float: "doubleValue"}
_SCOPE = {"name": "modoki", "version": __version__}


class Otlp:
    def __init__(self, sink: Sink) -> None:
        self._post = Post(sink, "application/json")
        self._fields = (("host.name", sink.host), *sink.fields)

    async def pack(self, records: list[Record]) -> bytes:
        logs = await gently(_log_record, records)
        by_container: dict[str, list[msgspec.Raw]] = {}
        for record, log in zip(records, logs, strict=True):
            of = record.head.container if record.head.stream else ""
            by_container.setdefault(of, []).append(log)
        return await self._post.pack(msgspec.json.encode(request(by_container, self._fields)))

    async def carry(self, packed: bytes) -> Refused | None:
        return _partial(await self._post.send(packed))


def request(
    by_container: dict[str, list[msgspec.Raw]], fields: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """An ExportLogsServiceRequest; `fields` are attributes of every resource."""
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": _attributes({"service.name": of or "supervisor", **dict(fields)})},
                "scopeLogs": [{"scope": _SCOPE, "logRecords": logs}],
            }
            for of, logs in by_container.items()
        ]
    }


def _log_record(record: Record) -> msgspec.Raw:
    head, content = record.head, whole(record)
    attributes: dict[str, Any] = {"log.record.uid": record.id}
    if head.container:
        attributes["container.name"] = head.container
    if head.run:
        attributes["modoki.run"] = head.run
    made: dict[str, Any] = {
        "timeUnixNano": str(unix_nano(head.ts)),
        "severityNumber": _SEVERITY.get(head.level, 9),
        "severityText": head.level,
    }
    if head.stream:
        attributes |= {"log.iostream": head.stream, "modoki.seq": head.seq}
        if content.get("partial"):
            attributes["modoki.partial"] = True
        made["body"] = _body(content)
    else:
        made |= {"eventName": head.event, "body": _any(rest(content))}
    return msgspec.Raw(msgspec.json.encode(made | {"attributes": _attributes(attributes)}))


def _body(content: dict[str, Any]) -> dict[str, Any]:
    if "line_b64" in content:
        return {"bytesValue": content["line_b64"]}
    return _any(content["line"] if "line" in content else content.get("data"))


def _attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _any(value)} for key, value in values.items()]


def _any(value: Any) -> dict[str, Any]:
    """An AnyValue; of null an empty one."""
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _attributes(value)}}
    if isinstance(value, int) and not isinstance(value, bool):
        # Beyond 64 bits there is no number.
        return {"intValue" if -(1 << 63) <= value < 1 << 63 else "stringValue": str(value)}
    for kind, key in _PLAIN.items():
        if isinstance(value, kind):
            return {key: value}
    return {}


class _PartialSuccess(msgspec.Struct, rename="camel"):
    rejected_log_records: int = 0
    error_message: str = ""


class _Answer(msgspec.Struct, rename="camel"):
    partial_success: _PartialSuccess | None = None


def _partial(answer: bytes) -> Refused | None:
    """What the receiver refused of a batch that it took; the specification forbids to send that again."""
    try:
        found = msgspec.json.decode(answer or b"{}", type=_Answer, strict=False)
    except (msgspec.MsgspecError, RecursionError):
        return None  # it said 200, and that is what counts
    if found.partial_success is None or found.partial_success.rejected_log_records <= 0:
        return None
    return Refused(
        found.partial_success.rejected_log_records, shown(found.partial_success.error_message.encode())
    )
