"""The times of a cron expression, as instants.

Laws:
- Expressions mean what Debian's cron means by them, also where clocks are changed: a time that is
  skipped in spring comes right after the change, one that comes twice in autumn counts once.
- The next time is always later than the instant asked for, as the world's clock goes, so time that
  is told twice cannot be counted twice.

Source: crontab(5); the library is cronsim.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from supervisor.core.spec import Container


@cache
def zone(name: str) -> ZoneInfo:
    """A time zone, read from this machine's files once."""
    return ZoneInfo(name)


def read_zones(containers: Iterable[Container]) -> None:
    """To be called while this process may still read every file."""
    for one in containers:
        if one.schedule is not None:
            zone(one.schedule.timezone)


def following(cron: str, timezone: str, after: float) -> float | None:
    """The first time later than `after`, in seconds since the epoch; None: none in fifty years."""
    start = datetime.fromtimestamp(after, zone(timezone))
    try:
        for moment in CronSim(cron, start):
            at = moment.timestamp()
            if at > after:
                return at
    except (CronSimError, OverflowError, ValueError):
        return None
    return None


def told(at: float, timezone: str) -> str:
    """An instant as its zone's clocks show it, RFC 3339."""
    return datetime.fromtimestamp(at, zone(timezone)).isoformat(timespec="seconds")
