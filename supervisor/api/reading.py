"""The log folder as the API's Records: history in time order, then what follows.

Laws: chunks of whole lines of about CHUNK bytes; nothing is read before the chunk before it has
been taken, and others get their turn after each block that is looked through; a follower sleeps until there
are new records and holds no descriptor meanwhile.
"""

import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

import trio

import supervisor.logs.judge  # noqa: F401  # nothing can be imported once the account has been dropped
from supervisor.errors import RequestError
from supervisor.logs import query
from supervisor.logs.cursor import Cursor
from supervisor.logs.damage import Damages, nobody
from supervisor.logs.lastwords import last_words
from supervisor.logs.stamp import instant
from supervisor.logs.wanted import EVERYTHING, Wanted

CHUNK = 1 << 18
#: Of memory for one answer, however many logs it is made of.
BUDGET = 1 << 25
#: Of each run, for `supervisor why`.
LAST_LINES = 20


class LogFolder:
    """`log_dir` is a descriptor, `names` says which containers there are.

    `subscribe` gives an event that is set at the next record of anyone (`logs.Archive.subscribe`). `unreadable` hears
    once of each file, NAME/FILE, that cannot be read completely, and what is wrong with it: an answer has no place to say so.
    """

    def __init__(
        self,
        log_dir: int,
        names: Callable[[], Iterable[str]],
        subscribe: Callable[[], trio.Event],
        unreadable: Callable[[str, str], None] = nobody,
    ) -> None:
        self.log_dir = log_dir
        self.names = names
        self.subscribe = subscribe
        self._damages = Damages(unreadable)

    def last_words(self, name: str, run: int, ended_at: str | None) -> list[dict[str, Any]]:
        """As `ports.Records` has it."""
        return last_words(
            self.log_dir,
            name,
            run,
            None if ended_at is None else instant(ended_at),
            LAST_LINES,
            damages=self._damages,
        )

    async def read(
        self,
        names: Sequence[str],
        *,
        last: int | None,
        follow: bool,
        output: bool,
        events: bool,
        reverse: bool = False,
        wanted: Wanted = EVERYTHING,
    ) -> AsyncGenerator[bytes]:
        """As `ports.Records` has it."""
        known = list(self.names())
        for name in names:
            if name not in known and not has_log(self.log_dir, name):
                raise RequestError("not-found", f'no container is called "{name}", and none has left a log')
        chosen = tuple(names or known) if output else ()
        about = frozenset(names) if events and output and names else None
        asked = query.sources(chosen, wanted, own=events or not output, about=about)
        cursors = None if last is None else [self._end(source.name) for source in asked]
        history = query.History(self.log_dir, asked, BUDGET, self._damages)
        for chunk in _chunks(self._past(history, asked, last, cursors, reverse=reverse)):
            if chunk:
                yield chunk
            await trio.lowlevel.checkpoint()
        if follow:
            follower = query.Follower(history.cursors() if cursors is None else cursors, asked)
            async with aclosing(self._follow(follower)) as chunks:
                async for fresh in chunks:
                    yield fresh

    def _end(self, name: str) -> Cursor:
        return Cursor(self.log_dir, name, damages=self._damages)

    def _past(
        self,
        history: query.History,
        asked: Sequence[query.Source],
        last: int | None,
        cursors: Sequence[Cursor] | None,
        *,
        reverse: bool,
    ) -> Iterator[list[bytes]]:
        if last is not None:
            for records in query.tail(self.log_dir, asked, last, cursors or (), CHUNK, damages=self._damages):
                yield records[::-1] if reverse else records
        else:
            newest_first = query.newest_first(self.log_dir, asked, BUDGET, self._damages)
            yield from newest_first if reverse else history

    async def _follow(self, follower: query.Follower) -> AsyncGenerator[bytes]:
        while True:
            rung = self.subscribe()
            records, came = follower.read(limit=CHUNK)
            if records:
                yield _lines(records)
            if came:
                await trio.lowlevel.checkpoint()
            else:
                await rung.wait()


def has_log(log_dir: int, name: str) -> bool:
    """Whether a container of this name has ever been logged here."""
    try:
        os.stat(name, dir_fd=log_dir)
    except OSError:
        return False
    return True


def _chunks(past: Iterable[list[bytes]]) -> Iterator[bytes]:
    """Of about CHUNK bytes, or of what there is when more has to be looked for; b"": it still is."""
    waiting: list[bytes] = []
    size = 0
    for records in past:
        waiting += records
        size += sum(map(len, records))
        if records and size < CHUNK:
            continue
        yield _lines(waiting) if waiting else b""
        waiting, size = [], 0
    if waiting:
        yield _lines(waiting)


def _lines(records: Sequence[bytes]) -> bytes:
    return b"\n".join(records) + b"\n"
