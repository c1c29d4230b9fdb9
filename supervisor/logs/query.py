"""Records of many folders: those that are wanted, merged by time, and those that follow.

Laws: a record is given once, as it is stored, without its newline. Of one folder in the order in which they
were written (or exactly against it); of several by `ts`, then in the order of the folders. Nothing is read that need not
be: the last n are looked for from the end. What cannot be read is left out, and `damages` hears of it. Everything that may take long is an iterator of lists, and
an empty list says only that some more has been looked through: whoever asks may do other things, or stop.
"""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge as _merge
from itertools import accumulate, chain
from typing import NamedTuple

from supervisor.logs import walk
from supervisor.logs.cursor import Cursor
from supervisor.logs.damage import Damages
from supervisor.logs.frames import FRAME
from supervisor.logs.segments import SUPERVISOR
from supervisor.logs.sieve import Sieve
from supervisor.logs.stamp import LENGTH
from supervisor.logs.wanted import EVERYTHING, Wanted

_TS = slice(7, 7 + LENGTH)
#: Bytes that are held at once, over all folders.
BUDGET = 1 << 28
_LEAST = 1 << 14
#: What one folder may hold of a compressed segment: a frame, and the records in it.
_FRAMES = 2 * FRAME
_REPLICA = re.compile(r"\.[0-9]{1,6}")


class Source(NamedTuple):
    """A folder, and what is wanted of it."""

    name: str
    sieve: Sieve


def sources(
    names: Iterable[str],
    wanted: Wanted = EVERYTHING,
    *,
    own: bool = False,
    about: frozenset[str] | None = None,
) -> list[Source]:
    """Of containers, and with `own` of the supervisor's own records, those about `about` (None: all of them)."""
    sieve = Sieve(wanted)
    found = [Source(name, sieve) for name in dict.fromkeys(names) if name != SUPERVISOR or not own]
    return [*found, Source(SUPERVISOR, Sieve(wanted._replace(about=about)))] if own else found


def folders(log_dir: int) -> list[str]:
    """The containers that have one."""
    with os.scandir(log_dir) as entries:
        return sorted(
            each.name for each in entries if each.is_dir(follow_symlinks=False) and each.name != SUPERVISOR
        )


def called(name: str, among: Sequence[str]) -> list[str]:
    """The folders of a container, or of a service's replicas."""
    return [
        each
        for each in among
        if each == name or (each.startswith(name) and _REPLICA.fullmatch(each, len(name)))
    ]


# ── what there is ──────────────────────────────────────────────────────────────────────────


class History:
    """Oldest first. Once it is through, `cursors` go on where it ended."""

    def __init__(
        self, log_dir: int, asked: Sequence[Source], budget: int = BUDGET, damages: Damages | None = None
    ) -> None:
        self._log_dir = log_dir
        self._asked = asked
        self._damages = damages
        most, lean = _share(len(asked), budget)
        self._walks = [
            walk.Forwards(
                log_dir,
                name,
                since=sieve.wanted.since,
                until=sieve.wanted.until,
                most=most,
                lean=lean,
                damages=damages,
            )
            for name, sieve in asked
        ]

    def __iter__(self) -> Iterator[list[bytes]]:
        kept = [map(sieve.keep, each) for each, (_, sieve) in zip(self._walks, self._asked, strict=True)]
        return merged(kept)

    def cursors(self) -> list[Cursor]:
        return [
            Cursor.at(self._log_dir, name, each.mark, each.offset, self._damages)
            for each, (name, _) in zip(self._walks, self._asked, strict=True)
        ]


def newest_first(
    log_dir: int, asked: Sequence[Source], budget: int = BUDGET, damages: Damages | None = None
) -> Iterator[list[bytes]]:
    """Everything, in the opposite order."""
    most, lean = _share(len(asked), budget)
    kept = [_kept_backwards(log_dir, each, most, damages, lean=lean) for each in reversed(asked)]
    return merged(kept, newest_first=True)


def tail(
    log_dir: int,
    asked: Sequence[Source],
    n: int,
    cursors: Iterable[Cursor] = (),
    most: int = walk.MOST,
    *,
    damages: Damages | None = None,
) -> Iterator[list[bytes]]:
    """The last `n`, oldest first, as the last list of the iterator; those before it are empty.

    What lies behind one of `cursors` is left to it: make the cursors, take the tail, then read the cursors.
    One folder is looked through after the other, no further back than where it can still count.
    """
    ends = {cursor.name: (cursor.mark, cursor.offset) for cursor in cursors}
    best: list[bytes] = []
    for name, sieve in asked:
        wanted = sieve.wanted
        parts: list[list[bytes]] = []  # the newest first
        count = 0
        blocks = walk.backwards(
            log_dir,
            name,
            since=wanted.since,
            until=wanted.until,
            before=ends.get(name),
            most=most,
            damages=damages,
        )
        for block in blocks if n else ():
            parts.append(sieve.keep(block))
            count += len(parts[-1])
            yield []
            if count >= n or (len(best) == n and block[_TS] < best[0][_TS]):
                break
        if count:
            found = list(chain.from_iterable(reversed(parts)))[-n:]
            best = list(_merge(best, found, key=_ts))[-n:] if best else found
    yield best


def _kept_backwards(
    log_dir: int, source: Source, most: int, damages: Damages | None, *, lean: bool
) -> Iterator[list[bytes]]:
    since, until = source.sieve.wanted.since, source.sieve.wanted.until
    for block in walk.backwards(
        log_dir, source.name, since=since, until=until, most=most, lean=lean, damages=damages
    ):
        yield source.sieve.keep(block)[::-1]


def _share(count: int, budget: int) -> tuple[int, bool]:
    """Bytes of a block, and whether not even a frame may be kept."""
    each = budget // max(1, count)
    return max(_LEAST, min(walk.MOST, each)), each < _FRAMES


def _ts(record: bytes) -> bytes:
    return record[_TS]


# ── merging ────────────────────────────────────────────────────────────────────────────────


class _Feed:
    """What has come of one folder and is not given yet: records, and by which time they are merged."""

    def __init__(self, lists: Iterator[list[bytes]], *, newest_first: bool) -> None:
        self._lists = lists
        self._pick = min if newest_first else max
        self.records: list[bytes] = []
        self.keys: list[bytes] = []
        self._last: list[bytes] = []

    def fill(self) -> bool:
        """One more list; False at the end."""
        found = next(self._lists, None)
        if found is None:
            return False
        # A clock that was set back changes no order inside a folder.
        self.keys = list(accumulate([*self._last, *map(_ts, found)], self._pick))[len(self._last) :]
        self.records = found
        self._last = self.keys[-1:] or self._last
        return True

    def take(self, count: int) -> list[tuple[bytes, bytes]]:
        taken = list(zip(self.keys[:count], self.records[:count], strict=True))
        self.keys, self.records = self.keys[count:], self.records[count:]
        return taken


def merged(lists: Sequence[Iterator[list[bytes]]], *, newest_first: bool = False) -> Iterator[list[bytes]]:
    """Lists of each folder, each in order, as lists in the order of all."""
    if len(lists) == 1:
        yield from lists[0]
        return
    feeds = [_Feed(each, newest_first=newest_first) for each in lists]
    while True:
        alive = []
        for feed in feeds:
            while not feed.records:
                if not feed.fill():
                    break
                if not feed.records:
                    yield []
            if feed.records:
                alive.append(feed)
        feeds = alive
        if not feeds:
            return
        yield _next(feeds, newest_first=newest_first)


def _next(feeds: Sequence[_Feed], *, newest_first: bool) -> list[bytes]:
    """Everything that nothing can come before: up to where the first feed runs out."""
    bound = (max if newest_first else min)(feed.keys[-1] for feed in feeds)
    given: list[tuple[bytes, bytes]] = []
    owner = False
    for feed in feeds:
        if not owner and feed.keys[-1] == bound:
            owner = True
            given += feed.take(len(feed.keys))
        else:
            given += feed.take(_before(feed.keys, bound, equal=not owner, newest_first=newest_first))
    given.sort(key=lambda pair: pair[0], reverse=newest_first)
    return [record for _, record in given]


def _before(keys: Sequence[bytes], bound: bytes, *, equal: bool, newest_first: bool) -> int:
    """How many of the sorted `keys` come before `bound`, or are `equal` to it."""
    low, high = 0, len(keys)
    while low < high:
        middle = (low + high) // 2
        key = keys[middle]
        if (key == bound and equal) or (key > bound if newest_first else key < bound):
            low = middle + 1
        else:
            high = middle
    return low


# ── what follows ───────────────────────────────────────────────────────────────────────────


class Follower:
    """What comes behind the cursors of some folders."""

    def __init__(self, cursors: Iterable[Cursor], asked: Iterable[Source]) -> None:
        self._cursors = {cursor.name: cursor for cursor in cursors}
        self._sieves = {source.name: source.sieve for source in asked}

    def names(self) -> list[str]:
        return list(self._cursors)

    def add(self, cursor: Cursor, sieve: Sieve) -> None:
        self._cursors[cursor.name], self._sieves[cursor.name] = cursor, sieve

    def read(self, names: Iterable[str] | None = None, limit: int = 1 << 18) -> tuple[list[bytes], bool]:
        """Of `names` (None: of all) what is wanted, and whether anything came at all: if so, there may be more."""
        found = []
        came = False
        for name in self._cursors if names is None else names:
            if block := self._cursors[name].read(limit):
                came = True
                found.append(self._sieves[name].keep(block))
        return list(_merge(*found, key=_ts)), came
