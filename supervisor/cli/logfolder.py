"""Records straight from a log folder, whether a supervisor runs or not.

Laws: reading costs the supervisor nothing. A follower goes on over every restart, of containers and of the supervisor,
and sees what begins to log meanwhile, if it follows everything. A damaged file takes no other with it.
"""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from supervisor.cli.asked import Asked
from supervisor.errors import RequestError
from supervisor.logs import query
from supervisor.logs.cursor import Cursor
from supervisor.logs.damage import Damages, nobody

if TYPE_CHECKING:
    from supervisor.cli.watching import Watching


def read(folder: str, asked: Asked, tell: Callable[[str, str], None] = nobody) -> Generator[list[bytes]]:
    """Records without newline, list by list as they come. RequestError for a name that has no log.

    `tell` is given each file that cannot be read completely, and what is wrong with it.
    """
    log_dir = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = _sources(log_dir, folder, asked)
        _make_room(len(found))
        damages = Damages(lambda file, wrong: tell(f"{folder}/{file}", wrong))
        if asked.follow:
            yield from filter(None, _follow(log_dir, folder, asked, found, damages))
        else:
            yield from filter(None, _past(log_dir, asked, found, damages))
    finally:
        os.close(log_dir)


def _sources(log_dir: int, folder: str, asked: Asked) -> list[query.Source]:
    picked = chosen(log_dir, folder, asked.names)
    about = frozenset(picked) if asked.names and asked.output else None
    return query.sources(picked if asked.output else [], asked.wanted, own=asked.events, about=about)


def chosen(log_dir: int, folder: str, names: Sequence[str]) -> list[str]:
    """The folders of the containers that are named, or all of them. RequestError for a name that has none."""
    there = query.folders(log_dir)
    picked: list[str] = []
    for name in names:
        called = query.called(name, there)
        if not called:
            raise RequestError("not-found", f'{folder} has no log of a container called "{name}"')
        picked += called
    return picked if names else there


def _past(
    log_dir: int, asked: Asked, found: Sequence[query.Source], damages: Damages
) -> Iterator[list[bytes]]:
    if asked.last is not None:
        for records in query.tail(log_dir, found, asked.last, damages=damages):
            yield records[::-1] if asked.reverse else records
    elif asked.reverse:
        yield from query.newest_first(log_dir, found, damages=damages)
    else:
        yield from query.History(log_dir, found, damages=damages)


def _follow(
    log_dir: int, folder: str, asked: Asked, found: Sequence[query.Source], damages: Damages
) -> Iterator[list[bytes]]:
    from supervisor.cli.watching import Watching  # noqa: PLC0415  # ctypes, for who follows

    with Watching(folder) as watching:
        for source in found:
            watching.add(source.name)
        if asked.last is None:
            history = query.History(log_dir, found, damages=damages)
            yield from history
            cursors = history.cursors()
        else:
            cursors = [Cursor(log_dir, source.name, damages=damages) for source in found]
            yield from query.tail(log_dir, found, asked.last, cursors, damages=damages)
        follower = query.Follower(cursors, found)
        changed: set[str] | None = None
        while True:
            if changed is None and asked.output and not asked.names:
                _look_for_new(log_dir, asked, follower, watching, damages)
            records, came = follower.read(changed)
            if records:
                yield records
            if not came:
                changed = watching.wait()


def _look_for_new(
    log_dir: int, asked: Asked, follower: query.Follower, watching: "Watching", damages: Damages
) -> None:
    """Containers that have begun to log since."""
    for name in set(query.folders(log_dir)) - set(follower.names()):
        watching.add(name)
        cursor = Cursor(log_dir, name, start=True, damages=damages)
        follower.add(cursor, query.sources([name], asked.wanted)[0].sieve)


def _make_room(count: int) -> None:
    """Each folder that is read holds a descriptor."""
    import resource  # noqa: PLC0415  # rarely needed

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if count + 64 > soft != resource.RLIM_INFINITY:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
