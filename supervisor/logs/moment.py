"""A point in time as people write it, as a record's `ts`: pure.

    2026-11-23T12:34:56Z   RFC 3339; without a zone it is local time, without a time midnight
    12:34, 12:34:56        today, local time
    5m, 1h30m, 2 days ago  so long before now
    boot, now, today, yesterday, @1700000000

Laws: what is not understood is a ValueError that says what would be; nothing is guessed.
"""

import re
from datetime import UTC, datetime, timedelta

from supervisor.logs.stamp import Clock, stamp

_UNITS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1.0, "sec": 1.0, "secs": 1.0, "second": 1.0, "seconds": 1.0,
    "m": 60.0, "min": 60.0, "mins": 60.0, "minute": 60.0, "minutes": 60.0,
    "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "hours": 3600.0,
    "d": 86400.0, "day": 86400.0, "days": 86400.0,
    "w": 604800.0, "week": 604800.0, "weeks": 604800.0,
}  # fmt: skip
_PART = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([a-z]+)\s*")
_TIME = re.compile(r"\d\d:\d\d(:\d\d(\.\d{1,6})?)?")


def moment(text: str, clock: Clock) -> str:
    """The `ts` of what `text` says."""
    word = text.strip()
    try:
        return stamp(_instant(word, clock))
    except (ValueError, OverflowError, OSError):
        raise ValueError(
            f'"{text}" is not a time: write 2026-11-23T12:34:56Z, "2026-11-23 12:34", 12:34, 5m, "2h ago" or boot'
        ) from None


def _instant(word: str, clock: Clock) -> float:
    if word in ("now", "boot"):
        return clock.now if word == "now" else clock.boot
    midnight = datetime.fromtimestamp(clock.now).replace(hour=0, minute=0, second=0, microsecond=0)  # noqa: DTZ006 - local time is what is meant
    if word in ("today", "yesterday"):
        return _local(midnight - timedelta(days=int(word == "yesterday")))
    if word.startswith("@"):
        return datetime.fromtimestamp(float(word[1:]), UTC).timestamp()
    if (before := _span(word)) is not None:
        return clock.now - before
    if _TIME.fullmatch(word):
        word = f"{midnight.date().isoformat()}T{word}"
    return _local(datetime.fromisoformat(word))


def _local(when: datetime) -> float:
    """A time without a zone is one of this machine's."""
    return when.timestamp()


def _span(word: str) -> float | None:
    """Seconds of `1h30m`, `-5m`, `2 days ago`; None if it is none."""
    text = word.lower().removeprefix("-").removesuffix("ago").strip()
    seconds, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None or part[2] not in _UNITS:
            return None
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return seconds if text else None
