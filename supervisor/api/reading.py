"""The log folder as the API's Records: history in time order, then what follows.

Laws: chunks of whole lines of about CHUNK bytes; nothing is read before the chunk before it has
been taken; a follower sleeps until there are new records and holds no descriptor meanwhile.
"""

import heapq
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from typing import Any

import trio

from supervisor.errors import RequestError
from supervisor.logs import query
from supervisor.logs.archive import SUPERVISOR
from supervisor.logs.lastwords import last_words
from supervisor.logs.stamp import LENGTH, instant

CHUNK = 1 << 18
#: Of each run, for `supervisor why`.
LAST_LINES = 20
_TS = slice(7, 7 + LENGTH)


class LogFolder:
    """`log_dir` is a descriptor, `names` says which containers there are.

    `subscribe` gives an event that is set at the next record of anyone (`logs.Archive.subscribe`).
    """

    def __init__(
        self, log_dir: int, names: Callable[[], Iterable[str]], subscribe: Callable[[], trio.Event]
    ) -> None:
        self.log_dir = log_dir
        self.names = names
        self.subscribe = subscribe

    def last_words(self, name: str, run: int, ended_at: str | None) -> list[dict[str, Any]]:
        """As `ports.Records` has it."""
        return last_words(
            self.log_dir, name, run, None if ended_at is None else instant(ended_at), LAST_LINES
        )

    async def read(
        self, names: Sequence[str], *, last: int | None, follow: bool, output: bool, events: bool
    ) -> AsyncGenerator[bytes]:
        """As `ports.Records` has it."""
        known = list(self.names())
        for name in names:
            if name not in known and not has_log(self.log_dir, name):
                raise RequestError("not-found", f'no container is called "{name}", and none has left a log')
        chosen = tuple(names or known) if output else (SUPERVISOR,)
        about = frozenset(names) if events and output and names else None
        cursors = cursors_of(self.log_dir, chosen, events=events, start=last is None)
        past = (
            stream(cursors, about)
            if last is None
            else query.tail(self.log_dir, chosen, last, events=events, cursors=cursors)
        )
        for chunk in chunks(past):
            yield chunk
            await trio.lowlevel.checkpoint()
        while follow:
            rung = self.subscribe()
            if fresh := query.merge([_wanted(cursor, cursor.read(CHUNK), about) for cursor in cursors]):
                yield b"\n".join(fresh) + b"\n"
            else:
                await rung.wait()


def has_log(log_dir: int, name: str) -> bool:
    """Whether a container of this name has ever been logged here."""
    try:
        os.stat(name, dir_fd=log_dir)
    except OSError:
        return False
    return True


def cursors_of(log_dir: int, names: Sequence[str], *, events: bool, start: bool) -> list[query.Cursor]:
    """One a folder, the supervisor's own among them if `events`."""
    folders = dict.fromkeys([*names, SUPERVISOR] if events else names)
    return [query.Cursor(log_dir, name, start=start) for name in folders]


def stream(cursors: Iterable[query.Cursor], about: frozenset[str] | None) -> Iterator[bytes]:
    """Everything ahead of the cursors in time order, however much it is."""
    return heapq.merge(*(_rest(cursor, about) for cursor in cursors), key=lambda record: record[_TS])


def _rest(cursor: query.Cursor, about: frozenset[str] | None) -> Iterator[bytes]:
    while batch := cursor.read(CHUNK):
        yield from _wanted(cursor, batch, about)


def _wanted(cursor: query.Cursor, batch: list[bytes], about: frozenset[str] | None) -> list[bytes]:
    """Of the supervisor's records those about `about`; None means all."""
    if cursor.name != SUPERVISOR or about is None:
        return batch
    return [record for record in batch if query.concerns(record, about)]


def chunks(records: Iterable[bytes]) -> Iterator[bytes]:
    """Records as NDJSON in pieces of about CHUNK bytes."""
    lines: list[bytes] = []
    size = 0
    for record in records:
        lines.append(record)
        size += len(record) + 1
        if size >= CHUNK:
            yield b"\n".join(lines) + b"\n"
            lines, size = [], 0
    if lines:
        yield b"\n".join(lines) + b"\n"
