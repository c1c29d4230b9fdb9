"""The supervisor's own records: structlog in front, the store behind, a person beside.

Laws:
* Keys come in the order ts, level, event, container, run, then the fields as given.
* A record is written before `record` returns, or, of those made `together`, with the others: one write for all of them.
* A record that cannot be written never raises. It waits, at most `KEPT` of them do; the oldest
  beyond that are dropped and counted, and the count is recorded (`logs.dropped`) once there is
  room again.
* On a terminal, a calm line for people (see `terminal`); elsewhere the same JSON lines that are
  stored. A terminal that is gone is not written to again.
"""

import logging
import os
import select
import stat
from collections import deque
from collections.abc import Mapping, MutableMapping
from contextlib import AbstractContextManager
from typing import Any, TextIO

import msgspec

from supervisor.core.events import Json
from supervisor.logs import terminal
from supervisor.logs.behind import Point, behind
from supervisor.logs.stamp import stamp
from supervisor.logs.store import Store
from supervisor.logs.without import without

with without("rich"):  # it shows tracebacks with it, which takes four megabytes of whoever has imported it
    import structlog

KEPT = 1000
_LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})

_encoder = msgspec.json.Encoder(enc_hook=str)


class Journal:
    """Implements `supervise.ports.Journal` and `supervise.ports.Log`."""

    def __init__(self, store: Store, stream: TextIO | None) -> None:
        self._store = store
        self._screen = Screen(stream) if stream is not None and not _nobody(stream) else None
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._together = 0
        self._batch = Batch(self)
        self.dropped = 0
        # Bound once: a logger that is not is made anew for each record.
        self._log = structlog.wrap_logger(
            self,
            processors=[_ordered, self._rendered],
            wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        ).bind()

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None:
        method = level if level in _LEVELS else "info"
        getattr(self._log, method)(event, container=container, run=run, **fields)

    def together(self) -> AbstractContextManager[None]:
        """What is recorded within is written at its end. Nothing in it may wait for another task."""
        return self._batch

    def flush(self) -> bool:
        """Write what waits; False if it still has to."""
        if len(self._waiting) > 1:
            self._write_all()
        while self._waiting:
            ts, line = self._waiting[0]
            if not self._write(line, ts):
                return False
            self._waiting.popleft()
        if self.dropped:
            ts, count = stamp(), self.dropped
            entry = {"ts": ts, "level": "warning", "event": "logs.dropped", "count": count}
            if not self._write(_encoder.encode(entry) + b"\n", ts):
                return False
            self.dropped = 0
        return True

    def _write_all(self) -> None:
        """In one write; where there is no room for that, there may be for some of it."""
        if self._write(b"".join(line for _, line in self._waiting), self._waiting[0][0]):
            self._waiting.clear()

    def _write(self, batch: bytes, ts: str) -> bool:
        try:
            self._store.write(batch, ts)
        except OSError:
            return False
        return True

    def begin(self) -> None:
        self._together += 1

    def end(self) -> None:
        self._together -= 1
        self._settle()

    def _settle(self) -> None:
        if self._together or not self._waiting:
            return
        self.flush()
        while len(self._waiting) > KEPT:
            self._waiting.popleft()
            self.dropped += 1

    # ── for who has to know what is on record ──────────────────────────────────────────

    def place(self) -> tuple[str, int, int]:
        """Where the next record goes: a Point, and how many are to be written before it. OSError."""
        return *self._store.end(), len(self._waiting)

    def behind(self, place: tuple[str, int, int], count: int) -> list[dict[str, Any]] | None:
        """The first records behind a place, see `behind`. OSError."""
        stem, size, waiting = place
        return behind(self._store.log_dir, self._store.name, Point(stem, size), waiting + count)

    @property
    def waits(self) -> bool:
        """Whether any record could not be written yet."""
        return bool(self._waiting)

    def waiting(self, container: str, events: str) -> list[dict[str, Any]]:
        """The records of it that are not written yet, of events that begin so."""
        mark, begin = _encoder.encode(container), b'"event":' + _encoder.encode(events)[:-1]
        lines = [line for _, line in self._waiting if begin in line and mark in line]
        found = [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]
        return [one for one in found if one.get("container") == container and one["event"].startswith(events)]

    # ── structlog's end of the chain: a logger has a method a level ────────────────────

    def msg(self, ts: str, line: bytes) -> None:
        self._waiting.append((ts, line))
        self._settle()

    debug = info = warning = error = critical = msg

    def _rendered(
        self, _logger: object, _method: str, entry: MutableMapping[str, Any]
    ) -> tuple[tuple[str, bytes], dict[str, Any]]:
        """As `msg` gets it."""
        line = _encoder.encode(entry)
        if self._screen is not None:
            self._screen.show(entry, line)
        return (entry["ts"], line + b"\n"), {}


class Batch:
    """`together`, without a generator each time."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> None:
        self._journal.begin()

    def __exit__(self, *_error: object) -> None:
        self._journal.end()


class Screen:
    """Standard error, or whatever people look at."""

    def __init__(self, stream: TextIO) -> None:
        self._stream: TextIO | None = stream
        self._people = stream.isatty()
        plain = "NO_COLOR" in os.environ or os.environ.get("TERM", "dumb") == "dumb"
        self._colour = self._people and not plain

    def show(self, entry: Mapping[str, Any], line: bytes) -> None:
        """`line` is the entry as it is stored."""
        if self._stream is None:
            return
        if not self._has_room():
            return  # it is on record; a terminal stopped with ^S does not stop the supervisor
        text = terminal.line(entry, colour=self._colour) if self._people else line.decode()
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


def _nobody(stream: TextIO) -> bool:
    """Whether it is /dev/null, where nobody looks."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file
        return False
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)


def _ordered(_logger: object, method: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    ordered = {"ts": stamp(), "level": method, "event": entry.pop("event")}
    for key in ("container", "run"):
        value = entry.pop(key, None)
        if value is not None:
            ordered[key] = value
    ordered.update(entry)
    return ordered


def open_journal(store: Store, stream: TextIO | None = None) -> Journal:
    """`store` is the archive's `supervisor` folder."""
    return Journal(store, stream)
