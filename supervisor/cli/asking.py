"""Records by way of the API, for who may use the socket and not read the files.

Laws: a regular expression is applied here: one can take for ever, and the supervisor has other things to do. A follower
goes on over restarts of the supervisor: it asks again from the time of the last record on, and leaves out what
it has had, by the identity of each record.
"""

import json
import time
from collections.abc import Generator, Iterator
from itertools import islice

from supervisor.api.call import Call, query
from supervisor.cli.asked import Asked
from supervisor.errors import RequestError
from supervisor.logs.sieve import Sieve
from supervisor.logs.stamp import instant, stamp
from supervisor.logs.wanted import Wanted

#: Seconds between attempts to find a supervisor again.
EVERY = 0.5
#: Seconds by which a record may be written later than one of a later time.
SLACK = 60.0
MOST_EVENTS = 10_000


def read(where: str | None, asked: Asked) -> Generator[list[bytes]]:
    """As logfolder.read, from the supervisor that runs."""
    if asked.last is not None and asked.wanted.grep is not None and not asked.follow:
        newest = islice(_matching(where, asked._replace(last=None, reverse=True)), asked.last)
        yield list(newest) if asked.reverse else list(newest)[::-1]
        return
    for record in _matching(where, asked):
        yield [record]


def _matching(where: str | None, asked: Asked) -> Iterator[bytes]:
    lines = _followed(where, asked) if asked.follow else _lines(where, asked)
    if asked.wanted.grep is None:
        yield from lines
        return
    sieve = Sieve(Wanted(grep=asked.wanted.grep))
    for line in lines:
        yield from sieve.keep(line + b"\n")


def _followed(where: str | None, asked: Asked) -> Iterator[bytes]:
    seen = Seen(asked.wanted.since or (stamp() if asked.last is not None else ""))
    first = True
    while True:
        try:
            for line in _lines(where, asked):
                first = False
                if seen.is_new(line):
                    yield line
        except RequestError as error:
            if first or error.code not in ("unavailable", "failed"):
                raise
        first = False
        time.sleep(EVERY)
        asked = asked._replace(last=None, wanted=asked.wanted._replace(since=seen.since() or None))


class Seen:
    """What has been had, as far as it may come again. `start`: the time before which nothing is wanted."""

    def __init__(self, start: str) -> None:
        self._start = start
        self._newest = ""
        self._output: dict[tuple[str, str], tuple[int, int]] = {}
        self._events: dict[bytes, str] = {}

    def since(self) -> str:
        """From when on to ask again: records of several containers are not written in the order of their times."""
        if not self._newest:
            return self._start
        return max(self._start, stamp(instant(self._newest) - SLACK))

    def is_new(self, line: bytes) -> bool:
        """Once for each record."""
        try:
            record = json.loads(line)
            ts = str(record["ts"])
            if record["event"] == "output":
                key, place = (record["container"], record["stream"]), (record["run"], record["seq"])
                new: bool = place > self._output.get(key, (0, 0))
                self._newest = max(self._newest, ts)
                if new:
                    self._output[key] = place
                return new
        except (ValueError, KeyError, TypeError):
            return True  # none of ours: shown as it is
        self._newest = max(self._newest, ts)
        new = line not in self._events
        self._events[line] = ts
        if len(self._events) > MOST_EVENTS:
            oldest = self.since()
            self._events = {line: ts for line, ts in self._events.items() if ts >= oldest}
        return new


def _lines(where: str | None, asked: Asked) -> Iterator[bytes]:
    wanted = asked.wanted
    pairs: list[tuple[str, object]] = [("name", name) for name in asked.names]
    pairs += [("field", f"{key}={value}") for key, value in wanted.fields]
    options = {
        "n": asked.last, "since": wanted.since, "until": wanted.until, "stream": wanted.stream,
        "level": wanted.level, "run": wanted.run,
    }  # fmt: skip
    pairs += [(key, value) for key, value in options.items() if value is not None]
    flags = {"follow": asked.follow, "reverse": asked.reverse, "events": asked.events and asked.output}
    pairs += [(key, 1) for key, value in flags.items() if value]
    path = "/v1/logs" if asked.output else "/v1/events"
    return (line[:-1] for line in Call(where, "GET", path + query(pairs)).lines())
