"""Units people write: durations, sizes, CPU limits, signals, accounts.

Each reader takes what TOML gave and returns the plain form the specs hold, or raises `WrongError` with
what to write. Digits are ASCII digits: nothing Unicode calls a digit is let through.
"""

import re
import signal
from collections.abc import Callable
from decimal import Decimal

from supervisor.config.values import WrongError, nearest, show

_SECONDS = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)/([smh])")
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
#: A century: longer than any machine runs, short enough for every timer.
LONGEST = 36500 * 86400.0

_BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"([0-9]{1,19})(?:([KMGT])iB|([kKmMgGtT]))?")
#: The largest signed 64-bit number, which is what kernel files and rlimits can carry.
LARGEST = (1 << 63) - 1

#: Of kernel/sched/core.c: cpu.max takes periods from 1 ms to 1 s and quotas from 1 ms up to 2**44 µs.
_PERIOD, _PERIOD_MIN, _PERIOD_MAX = 100_000, 1_000, 1_000_000
_QUOTA_MIN, _QUOTA_MAX = 1_000, (1 << 44) - 1
#: No kernel is built for more processors (CONFIG_NR_CPUS); more must be a slip for microseconds.
_CPUS_MAX = 8192
_PERCENT = re.compile(r"([0-9]{1,7}(?:\.[0-9]{1,9})?)%")
_QUOTA = re.compile(r"(max|[0-9]{1,15})(?: ([0-9]{1,15}))?")

#: 2**32-1 is the kernel's "no id" (chown and setresuid read it as "leave alone").
LAST_ID = (1 << 32) - 2
_ID = re.compile(r"0|[1-9][0-9]{0,9}")
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")


def duration(value: object) -> float:
    """Seconds of `"250ms"`, `"1.5s"`, `"2m"`, `"1h"`, `"7d"`."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise WrongError(f'{show(value)} is not a duration (write "250ms", "1.5s", "2m", "1h" or "7d")')
    seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    if seconds > LONGEST:
        raise WrongError(f'{show(value)} is too long (at most "36500d")')
    return seconds


def duration_from(least: float) -> Callable[[object], float]:
    """A reader of durations of at least `least` seconds."""

    def read(value: object) -> float:
        seconds = duration(value)
        if seconds < least:
            raise WrongError(f"{show(value)} is too short (at least {show(_spelt(least))})")
        return seconds

    return read


def _spelt(seconds: float) -> str:
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def rate(value: object) -> float:
    """So many a second, of `"10000/s"`, `"600/m"` or `"1000/h"`."""
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    count = float(Decimal(match[1]) / Decimal(_SECONDS[match[2]])) if match else 0.0
    if not count:
        raise WrongError(f'{show(value)} is not a rate above 0 (write "10000/s", "600/m" or "1000/h")')
    return count


def size(value: object) -> int:
    """Bytes of `"64KiB"`, `"64MiB"`, `"1GiB"`, of `"64M"` as the kernel reads it (binary), or of a plain number."""
    if isinstance(value, int) and not isinstance(value, bool):
        count = value
    else:
        match = _SIZE.fullmatch(value) if isinstance(value, str) else None
        if match is None:
            raise WrongError(
                f'{show(value)} is not a size (write "64KiB", "64MiB", "1GiB" or a number of bytes)'
            )
        count = int(match[1]) * _BYTES[(match[2] or match[3] or "").lower()]
    if not 0 <= count <= LARGEST:
        raise WrongError(f"{show(value)} is not a size from 0 to {LARGEST} bytes")
    return count


def size_from(least: int) -> Callable[[object], int]:
    """A reader of sizes of at least `least` bytes."""

    def read(value: object) -> int:
        count = size(value)
        if count < least:
            raise WrongError(f"{show(value)} is too small (at least {least} bytes)")
        return count

    return read


def cpu_limit(value: object) -> str:
    """The text cpu.max takes, `"QUOTA PERIOD"` or `"max PERIOD"` in microseconds.

    Read are `"10%"` of one CPU, 0.1 (CPUs, a bare number), `"10000"` (µs of every 100000),
    `"10000 100000"`, `"max"` and `"max 100000"`.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value != value or value <= 0:  # noqa: PLR0124 - nan; math.isfinite cannot take a huge integer
            raise _not_a_cpu_limit(value)
        return _quota_of_cpus(Decimal(repr(value)) if value <= _CPUS_MAX else None, value)
    if not isinstance(value, str):
        raise _not_a_cpu_limit(value)
    if percent := _PERCENT.fullmatch(value):
        cpus = Decimal(percent[1]) / 100
        return _quota_of_cpus(cpus if cpus <= _CPUS_MAX else None, value)
    if quota := _QUOTA.fullmatch(value):
        return _checked_quota(quota[1], int(quota[2] or _PERIOD), value)
    raise _not_a_cpu_limit(value)


def _not_a_cpu_limit(value: object) -> WrongError:
    return WrongError(f'{show(value)} is not a CPU limit (use "10%", 0.5 CPUs, or "QUOTA PERIOD")')


def _quota_of_cpus(cpus: Decimal | None, value: object) -> str:
    if cpus is None:
        raise WrongError(
            f"{show(value)} is more CPUs than Linux supports"
            f' ({_CPUS_MAX}; in quotes and without %, "10000" is µs of every 100000)'
        )
    # A share below 1 % is under the smallest quota of the usual period; the longest period still holds it.
    for period in (_PERIOD, _PERIOD_MAX):
        quota = int((cpus * period).to_integral_value())
        if quota >= _QUOTA_MIN:
            return f"{quota} {period}"
    raise WrongError(f'{show(value)} is less than the kernel can cap (use at least "0.1%")')


def _checked_quota(quota: str, period: int, value: object) -> str:
    if not _PERIOD_MIN <= period <= _PERIOD_MAX:
        raise WrongError(f"{show(value)}: the kernel takes periods from {_PERIOD_MIN} to {_PERIOD_MAX} µs")
    if quota == "max":
        return f"max {period}"
    if not _QUOTA_MIN <= int(quota) <= _QUOTA_MAX:
        raise WrongError(
            f"{show(value)}: the kernel takes quotas from {_QUOTA_MIN} µs up"
            ' (a string without % is microseconds: write "50%", or 0.5 without quotes)'
        )
    return f"{int(quota)} {period}"


def signal_name(value: object) -> str:
    """The canonical name, "SIGTERM", of `"SIGTERM"`, `"TERM"` or 15."""
    names = signal.Signals.__members__
    if isinstance(value, int) and not isinstance(value, bool) and value in set(signal.Signals):
        return signal.Signals(value).name
    word = value.upper() if isinstance(value, str) else ""
    if word.isdecimal():
        raise WrongError(f"{show(value)} is not a signal (write {word}, without quotes, or its name)")
    name = word if word.startswith("SIG") else "SIG" + word
    if name not in names:
        hint = (nearest(name, names) if word else "") or ' (write its name, like "SIGTERM")'
        raise WrongError(f"{show(value)} is not a signal{hint}")
    return names[name].name


def account(value: object) -> str:
    """One user or group: a decimal id from 0 to 2**32-2, or a name that cannot be taken for a number."""
    if isinstance(value, int) and not isinstance(value, bool):
        word = str(value) if 0 <= value <= LAST_ID else ""
    else:
        word = value if isinstance(value, str) else ""
    if _ID.fullmatch(word) and int(word) <= LAST_ID:
        return word
    if _ACCOUNT.fullmatch(word):
        return word
    raise WrongError(f"{show(value)} is not a user or group (a name, or a decimal id from 0 to {LAST_ID})")


def user(value: object) -> str:
    """`"uid"`, `"uid:gid"`, `"name"`, `"name:group"`; each half is an `account`, so they may be mixed."""
    if not isinstance(value, str):
        return account(value)
    parts = value.split(":")
    if len(parts) > 2:
        raise WrongError(f'{show(value)} is not a user (write "uid", "uid:gid", "name" or "name:group")')
    return ":".join(account(part) for part in parts)
