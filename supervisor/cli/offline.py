"""Records straight from a log folder, where no supervisor runs."""

import os
from collections.abc import Iterator

from supervisor.api.reading import cursors_of, has_log, stream
from supervisor.errors import RequestError
from supervisor.logs import query
from supervisor.logs.archive import SUPERVISOR


def read(folder: str, names: list[str], last: int | None, *, output: bool, events: bool) -> Iterator[bytes]:
    """The records of `names` (none: all), each with its newline."""
    log_dir = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in names:
            if "/" in name or name.startswith(".") or not has_log(log_dir, name):
                raise RequestError("not-found", f'{folder} has no log of a container called "{name}"')
        found = sorted(
            entry.name for entry in os.scandir(log_dir) if entry.is_dir() and entry.name != SUPERVISOR
        )
        chosen = tuple(names or found) if output else (SUPERVISOR,)
        if last is not None:
            records: Iterator[bytes] = iter(query.tail(log_dir, chosen, last, events=events))
        else:
            about = frozenset(names) if names else None
            records = stream(cursors_of(log_dir, chosen, events=events, start=True), about)
        for record in records:
            yield record + b"\n"
    finally:
        os.close(log_dir)
