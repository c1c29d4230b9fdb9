"""Type http: a batch is the body of a POST; 2xx is its receipt."""

import gzip
from functools import partial
from typing import Any

import msgspec
import trio

from supervisor import __version__
from supervisor.core.sinks import Sink
from supervisor.ship import http, tls
from supervisor.ship.carrier import ContentError, Refused, ShipError, gently
from supervisor.ship.record import Record
from supervisor.ship.template import PRESETS, Writer

_SHOWN = 200
_CONFLICT = 409
#: Bad request, content too large, unprocessable.
_CONTENT = (400, 413, 422)
#: What Elasticsearch may take another time (429, 5xx) and what it will never take.
_NEVER = range(400, 429)
_TYPES = {"loki": "application/json", "template": "application/json"}


class Post:
    """The request that both http and otlp make."""

    def __init__(self, sink: Sink, content_type: str) -> None:
        self._to = http.target(sink.url)
        self._tls = tls.context(sink) if self._to.secure else None
        self._squeeze = sink.compression == "gzip"
        self._headers = [
            ("User-Agent", f"modoki/{__version__}"),
            ("Content-Type", content_type),
            *([("Content-Encoding", "gzip")] if self._squeeze else []),
            *([("Authorization", f"Bearer {sink.token_file}")] if sink.token_file else []),
            *sink.headers,
        ]

    async def pack(self, body: bytes) -> bytes:
        if not self._squeeze:
            return body
        return await trio.to_thread.run_sync(partial(gzip.compress, body, 1, mtime=0))

    async def send(self, body: bytes) -> bytes:
        """What it answered; raises as Carrier.carry does."""
        answer = await http.post(self._to, self._tls, self._headers, body)
        if not 200 <= answer.status < 300:
            kind = ContentError if answer.status in _CONTENT else ShipError
            raise kind(f"it answered {answer.status}: {shown(answer.body)}".rstrip(": "))
        return answer.body


class Web:
    def __init__(self, sink: Sink) -> None:
        template = sink.template or PRESETS[sink.format]
        self._writer = Writer(template, sink.host, sink.fields)
        self._check = _check_bulk if sink.format == "elasticsearch" else None
        kind = sink.content_type or _TYPES.get(sink.format, "application/x-ndjson")
        self._post = Post(sink, kind)

    async def pack(self, records: list[Record]) -> bytes:
        return await self._post.pack(self._writer.body(await gently(self._writer.one, records)))

    async def carry(self, packed: bytes) -> Refused | None:
        answer = await self._post.send(packed)
        return self._check(answer) if self._check is not None else None


def shown(body: bytes) -> str:
    """The beginning of an answer as one harmless line."""
    text = body[: 4 * _SHOWN].decode(errors="replace")
    return "".join(char if char.isprintable() else " " for char in text[:_SHOWN]).strip()


def _check_bulk(answer: bytes) -> Refused | None:
    """Elasticsearch answers 200 whatever became of the records; 409 is one that it has already."""
    try:
        found: Any = msgspec.json.decode(answer)
        items = [next(iter(item.values())) for item in found["items"]] if found["errors"] else []
        bad = [item for item in items if item["status"] >= 300 and item["status"] != _CONFLICT]
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError, StopIteration):
        raise ShipError(f"it did not answer as Elasticsearch does: {shown(answer)}") from None
    if not bad:
        return None
    why = f"{bad[0]['status']}: {shown(msgspec.json.encode(bad[0].get('error')))}"
    if any(item["status"] not in _NEVER for item in bad):
        raise ShipError(f"it refused {len(bad)} records, one with {why}")
    if len(bad) == len(items):
        raise ContentError(f"it refused all records, the first with {why}")
    return Refused(len(bad), why)
