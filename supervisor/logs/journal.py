"""The supervisor's own records: structlog in front, the store behind, a person beside.

Laws:
* Keys come in the order ts, level, event, container, run, then the fields as given.
* A record that cannot be written never raises. It waits, at most `KEPT` of them do; the oldest
  beyond that are dropped and counted, and the count is recorded (`logs.dropped`) once there is
  room again.
* On a terminal, a calm line for people (see `terminal`); elsewhere the same JSON lines that are
  stored. A terminal that is gone is not written to again.
"""

import os
import select
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import msgspec
import structlog

from supervisor.core.events import Json
from supervisor.logs import terminal
from supervisor.logs.stamp import stamp
from supervisor.logs.store import Store

KEPT = 1000
_FIRST = ("ts", "level", "event", "container", "run")
_LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})

_encoder = msgspec.json.Encoder(enc_hook=str)


class Journal:
    """Implements `supervise.ports.Journal`."""

    def __init__(self, store: Store, stream: TextIO | None) -> None:
        self._store = store
        self._screen = Screen(stream) if stream is not None else None
        self._waiting: deque[tuple[str, bytes]] = deque()
        self.dropped = 0
        self._log = structlog.wrap_logger(
            self,
            processors=[_ordered, self._show, _encoded],
            wrapper_class=structlog.BoundLogger,
            cache_logger_on_first_use=True,
        )

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None:
        method = level if level in _LEVELS else "info"
        getattr(self._log, method)(event, container=container, run=run, **fields)

    def flush(self) -> bool:
        """Write what waits; False if it still has to."""
        while self._waiting:
            ts, batch = self._waiting[0]
            try:
                self._store.write(batch, ts)
            except OSError:
                return False
            self._waiting.popleft()
        if self.dropped:
            ts, count = stamp(), self.dropped
            entry = {"ts": ts, "level": "warning", "event": "logs.dropped", "count": count}
            try:
                self._store.write(_encoder.encode(entry) + b"\n", ts)
            except OSError:
                return False
            self.dropped = 0
        return True

    # ── structlog's end of the chain: a logger has a method a level ────────────────────

    def msg(self, *, ts: str, batch: bytes) -> None:
        self._waiting.append((ts, batch))
        self.flush()
        while len(self._waiting) > KEPT:
            self._waiting.popleft()
            self.dropped += 1

    debug = info = warning = error = critical = msg

    def _show(self, _logger: object, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
        if self._screen is not None:
            self._screen.show(entry)
        return entry


class Screen:
    """Standard error, or whatever people look at."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._people = stream.isatty()
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
        self._colour = self._people and not plain

    def show(self, entry: Mapping[str, Any]) -> None:
        if self._stream is None:
            return
        if not self._has_room():
            return  # it is on record; a terminal stopped with ^S does not stop the supervisor
        people = self._people
        text = terminal.line(entry, colour=self._colour) if people else _encoder.encode(entry).decode()
        if text is None:
            return
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except (OSError, ValueError):  # hung up, or closed
            self._stream = None

    def _has_room(self) -> bool:
        if self._stream is None:
            return False
        try:
            poll = select.poll()
            poll.register(self._stream.fileno(), select.POLLOUT)
            return bool(poll.poll(0))
        except (OSError, ValueError):  # not a file
            return True


def _ordered(_logger: object, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    entry["ts"] = stamp()
    entry["level"] = method
    head = {key: entry[key] for key in _FIRST if entry.get(key) is not None}
    return head | {key: value for key, value in entry.items() if key not in _FIRST}


def _encoded(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {"ts": entry["ts"], "batch": _encoder.encode(entry) + b"\n"}


def open_journal(store: Store, stream: TextIO | None = None) -> Journal:
    """`store` is the archive's `supervisor` folder."""
    return Journal(store, stream)
