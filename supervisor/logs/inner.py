"""What a container's own JSON says of its level, message and time, in our words: pure.

Laws: nothing is guessed. A key that is not there, or whose value is none of the forms that loggers write, maps to
nothing. What the container wrote stays in `data` as it is.

Forms: levels by name, by syslog's numbers (0 to 7), or by those of bunyan and pino (10 to 60); times as ISO 8601
with an offset, or since the epoch in seconds, milliseconds, microseconds or nanoseconds, which cannot be confused
for a time between 1973 and 5000.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from supervisor.logs.stamp import stamp

_LEVEL = ("level", "severity", "lvl", "log.level", "levelname")
_MSG = ("msg", "message", "event")
_TIME = ("time", "ts", "timestamp", "@timestamp")
_NAMES = {
    **dict.fromkeys(("trace", "debug", "verbose", "finest", "finer", "fine"), "debug"),
    **dict.fromkeys(("info", "information", "informational", "notice", "log", "default"), "info"),
    **dict.fromkeys(("warn", "warning"), "warning"),
    **dict.fromkeys(("error", "err", "severe"), "error"),
    **dict.fromkeys(
        ("critical", "crit", "fatal", "panic", "dpanic", "alert", "emerg", "emergency"), "critical"
    ),
}
_SYSLOG = ("critical", "critical", "critical", "error", "warning", "info", "info", "debug")
_PINO = ((60, "critical"), (50, "error"), (40, "warning"), (30, "info"), (10, "debug"))
#: Seconds, milliseconds, … since the epoch: the largest number that is taken for each.
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))


class Inner(NamedTuple):
    """`level` is one of ours, `time` is spelled as `ts` is; None: not said."""

    level: str | None = None
    msg: str | None = None
    time: str | None = None


def inner(data: Mapping[str, object]) -> Inner:
    msg = _first(data, _MSG)
    return Inner(
        _level(_first(data, _LEVEL)), msg if isinstance(msg, str) else None, _time(_first(data, _TIME))
    )


def _first(data: Mapping[str, object], keys: tuple[str, ...]) -> object:
    return next((data[key] for key in keys if key in data), None)


def _level(value: object) -> str | None:
    if isinstance(value, str):
        return _NAMES.get(value.lower())
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    if 0 <= value < len(_SYSLOG):
        return _SYSLOG[value]
    return next((name for least, name in _PINO if least <= value < 70), None)


def _time(value: object) -> str | None:
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                return None
            return moment.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"
        if isinstance(value, int | float) and not isinstance(value, bool):
            unit = next(unit for most, unit in _UNITS if 0 <= value < most)
            return stamp(value / unit)
    except (ValueError, OverflowError, OSError, StopIteration):
        return None
    return None
