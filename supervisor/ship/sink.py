"""One sink at work: read, carry, remember, for ever.

Laws:
- The cursor moves only when the receiver has taken the batch; so every record is carried at least once.
- A batch that is not taken is tried again until it is: after delays that grow up to `backoff.max`. Failing and
  recovering are recorded once each.
- No record of shipping comes of records of shipping alone, else sinks would feed themselves and each other for ever. So a
  sink does not ship those about itself; and those about others it ships like any record, but what it meets while it has
  nothing else to ship is not recorded. `status` tells it all the same.
- Files are read in a thread of its own; what is done with what was read gives way again and again.
- When there is nothing to read it waits for the bell of the logs; nothing is polled.
"""

import os
import random
import re
import ssl
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar

import trio

from supervisor.core.backoff import delay
from supervisor.core.events import Json
from supervisor.core.sinks import Sink
from supervisor.logs.segments import SUPERVISOR
from supervisor.logs.stamp import stamp
from supervisor.ship import batch, divide, keep, reader
from supervisor.ship.ahead import current
from supervisor.ship.batch import Batch, Bounds
from supervisor.ship.carrier import Carrier, ContentError, Refused, ShipError
from supervisor.ship.cursor import Cursor, Place
from supervisor.ship.folders import Folders
from supervisor.ship.reader import Block
from supervisor.ship.record import Record, of_shipping
from supervisor.ship.wanted import name_wanted, record_wanted

T = TypeVar("T")
#: What a receiver that is not there, hangs or breaks off raises.
FAILURES = (ShipError, OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError)


class Tell(Protocol):
    """A Journal's `record`."""

    def __call__(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None: ...


class Shipping:
    """`name` is the sink's; `dice` gives numbers from 0 to 1 for jitter."""

    def __init__(
        self,
        name: str,
        sink: Sink,
        carrier: Carrier,
        folders: Folders,
        tell: Tell,
        *,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.name, self._sink, self._carrier, self._folders = name, sink, carrier, folders
        self._tell, self._dice = tell, dice
        self._thread = trio.CapacityLimiter(1)
        self._named, self._takes = name_wanted(sink), record_wanted(name, sink)
        self._cursor = Cursor()
        self._packed: tuple[list[Record], Any] = [], None  # the last one, to be tried again
        self._attempts, self._began = 0, 0.0
        self._told = False  # that it fails
        self._unsaved = False
        self._unreadable: set[str] = set()
        self.failing_since = ""
        self.error = ""
        self.oldest = ""  # ts of the first record in hand

    def status(self) -> dict[str, Any]:
        """As schema.Sink has it."""
        state = "failing" if self.error else "shipping" if self.oldest else "idle"
        return {
            "name": self.name, "type": self._sink.type, "state": state, "shipped": self._cursor.shipped,
            "dropped": self._cursor.dropped, "oldest": self.oldest or None,
            "failing_since": self.failing_since or None, "error": self.error or None,
        }  # fmt: skip

    async def run(self) -> None:
        await self._load()
        waiting = dict.fromkeys(self._known())
        listening: dict[str, trio.Event] = {}
        while True:
            news = self._folders.subscribe(
                None
            )  # before anything is read: what is written then is not missed
            waiting |= dict.fromkeys(self._written(listening))
            if not waiting:
                await news.wait()
                await trio.sleep(self._sink.linger)
                continue
            found = await self._gather(waiting)
            waiting = dict.fromkeys(found.left)
            try:
                refused = await self._deliver(found.records) if found.records else None
            except FAILURES:
                waiting |= dict.fromkeys(found.places)
                continue
            await self._settle(found, refused.records if refused is not None else 0)

    # ── what there is to read ──────────────────────────────────────────────────────────

    def _known(self) -> list[str]:
        """All folders of interest, also those of containers that are no more."""
        return [name for name in self._folders.there() if self._of_interest(name)]

    def _of_interest(self, name: str) -> bool:
        return bool(self._sink.events) if name == SUPERVISOR else self._named(name)

    def _written(self, listening: dict[str, trio.Event]) -> Iterable[str]:
        """Folders that have got records since the last call, or are new; `listening` has their bells."""
        names = [name for name in (SUPERVISOR, *self._folders.names()) if self._of_interest(name)]
        for name in [name for name in listening if listening[name].is_set()]:
            del listening[name]
            yield name
        for name in names:
            if name not in listening:
                listening[name] = self._folders.subscribe(name)
                yield name

    async def _gather(self, names: Iterable[str]) -> Batch:
        bounds = Bounds(self._sink.batch, self._sink.records)
        return await batch.gather(self._fetch, tuple(names), self._cursor, self._takes, bounds)

    async def _fetch(self, name: str, place: Place | None, limit: int) -> Block | None:
        now = current(self._folders.log_dir, name)
        try:
            return await self._aside(reader.fetch, self._folders.log_dir, name, place, limit, now)
        finally:
            if now is not None:
                now.close()

    # ── carried, again and again ───────────────────────────────────────────────────────

    async def _deliver(self, records: list[Record]) -> Refused | None:
        """Raises after a while where more to carry may make it another matter by then: ContentError if nothing was taken for
        what is in it, and whatever it is of records of shipping alone.
        """
        self.oldest = records[0].head.ts
        quiet = _of_shipping_alone(records)
        while True:
            try:
                refused = await divide.carry(records, self._send)
                break
            except FAILURES as error:
                self._failed(reason(error, self._sink.timeout), quiet)
                await trio.sleep(delay(self._attempts, self._sink.backoff, self._dice()))
                if quiet or isinstance(error, ContentError):
                    raise
        if self._told:
            failed = round(trio.current_time() - self._began, 3)
            self._tell("info", "ship.recovered", sink=self.name, attempts=self._attempts, failed_s=failed)
        if refused is not None and not quiet:
            self._tell("warning", "ship.refused", sink=self.name, **refused._asdict())
        self.oldest = self.error = self.failing_since = ""
        self._attempts, self._told = 0, False
        return refused

    async def _send(self, records: list[Record]) -> Refused | None:
        if self._packed[0] is not records:
            self._packed = records, await self._carrier.pack(records)
        with trio.fail_after(self._sink.timeout):
            return await self._carrier.carry(self._packed[1])

    def _failed(self, error: str, quiet: bool) -> None:
        self._attempts += 1
        if not self.error:
            self._began = trio.current_time()
            self.failing_since = stamp()
        self.error = error
        if not self._told and not quiet:
            self._told = True
            self._tell("warning", "ship.failed", sink=self.name, error=error)

    # ── remembered ─────────────────────────────────────────────────────────────────────

    async def _settle(self, found: Batch, refused: int) -> None:
        dropped = sum(gap.lines for _, gap in found.gaps) + refused
        for name, gap in found.gaps:
            container = None if name == SUPERVISOR else name
            self._tell("warning", "ship.dropped", container, sink=self.name, **gap._asdict())
        for name, why in found.unreadable:
            if name not in self._unreadable:
                self._unreadable.add(name)
                container = None if name == SUPERVISOR else name
                self._tell("error", "ship.unreadable", container, sink=self.name, error=why)
        self._unreadable.difference_update(found.places)
        if not found.places:
            return
        self._cursor = self._cursor.moved(found.places, len(found.records) - refused, dropped)
        await self._save(quiet=_of_shipping_alone(found.records))

    async def _save(self, *, quiet: bool = False) -> None:
        try:
            await self._aside(keep.save, self._folders.log_dir, self.name, self._cursor)
            self._unsaved = False
        except OSError as error:  # records may come twice after a restart; none is lost
            if not self._unsaved and not quiet:
                self._unsaved = True
                why = error.strerror or str(error)
                self._tell("warning", "ship.cursor_unsaved", sink=self.name, error=why)

    async def _load(self) -> None:
        try:
            saved = await self._aside(keep.load, self._folders.log_dir, self.name)
        except (ValueError, OSError) as error:
            self._tell("warning", "ship.cursor_lost", sink=self.name, error=str(error))
            saved = Cursor()
        if saved is None:
            saved = Cursor(places=await self._aside(self._ends) if self._sink.start == "end" else {})
            self._cursor = saved
            await self._save()
        self._cursor = Cursor(saved.shipped, saved.dropped, await self._trusted(saved.places))

    def _ends(self) -> dict[str, Place]:
        found = {name: reader.end(self._folders.log_dir, name) for name in self._known()}
        return {name: place for name, place in found.items() if place is not None}

    async def _trusted(self, places: dict[str, Place]) -> dict[str, Place]:
        there = set(self._folders.there())
        found: dict[str, Place] = {}
        for name, place in places.items():
            if name not in there:
                continue
            now = current(self._folders.log_dir, name)
            try:
                found[name] = await self._aside(reader.trusted, self._folders.log_dir, name, place, now)
            except OSError:  # a damaged segment; it is told of when it is read
                found[name] = place
            finally:
                if now is not None:
                    now.close()
        return found

    async def _aside(self, act: Callable[..., T], *args: Any) -> T:
        return await trio.to_thread.run_sync(partial(act, *args), limiter=self._thread)


def _of_shipping_alone(records: list[Record]) -> bool:
    return all(of_shipping(record.head) for record in records)


def reason(error: BaseException, timeout: float) -> str:
    """One line for people."""
    if isinstance(error, trio.TooSlowError):
        return f"not taken within {timeout:g} s"
    if isinstance(error, ssl.SSLError):
        return re.sub(r"^\[.*?\] | \(_ssl\.c.*", "", error.strerror or str(error))
    if isinstance(error, OSError) and error.strerror:
        # Where there is a number, its own words: trio puts the address before them. A look-up's are negative.
        return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
    cause = error.__cause__
    if isinstance(cause, BaseExceptionGroup):  # a name may have several addresses
        return reason(cause.exceptions[0], timeout)
    if cause is not None and not isinstance(error, ShipError):
        return reason(cause, timeout)
    return str(error) or type(error).__name__
