"""Instants as records and file names spell them.

Laws: a record's `ts` is RFC 3339, UTC, microseconds, `Z`, and always `LENGTH` characters, so
text order is time order. A segment is named after its first record with ':' written '-'
(`2026-11-23T12-34-56.789012Z`): ':' is refused by artifact stores and FAT, and means a host
to rsync and scp. The name is as long as the instant and sorts the same way.
"""

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple


class Clock(NamedTuple):
    """Seconds since the epoch: now, and when the machine booted."""

    now: float
    boot: float


def clock() -> Clock:
    """The machine's."""
    now = time.time()
    return Clock(now, now - time.clock_gettime(time.CLOCK_BOOTTIME))


LENGTH = len("2026-11-23T12:34:56.789012Z")


def stamp(instant: float | None = None) -> str:
    """`ts` of an instant in seconds since the epoch; without one, of now."""
    if instant is None:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        return f"{_second(seconds)}.{nanoseconds // 1000:06}Z"
    moment = datetime.fromtimestamp(instant, UTC)
    return moment.isoformat(timespec="microseconds")[:-6] + "Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Most records are of the second of the one before."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


def instant(ts: str) -> float:
    """Seconds since the epoch; ValueError if `ts` is not a stamp."""
    return datetime.fromisoformat(ts).timestamp()


def file_stem(ts: str) -> str:
    return ts.replace(":", "-")
