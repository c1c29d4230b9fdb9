"""When a container is throttled too much: one warning, then at most one a minute.

`sufficient`, the cpu.max that would have done, is an estimate from above. The kernel counts how
long each CPU's run queue stood still, not how long its tasks would have run, so a task that
wanted 1 ms more of a 100 ms period and waited for the next counts as having wanted it all. Summed
over CPUs, and never more than the machine has. It is an average over the interval: where that
falls below the present cap (short bursts between long rests), a little more than the cap is
named, since the cap was too small whenever it throttled.
"""

from supervisor.core.readings import Reading
from supervisor.monitor.leaf import Counters

#: Seconds between two warnings about one run.
AGAIN = 60.0


class Throttle:
    """The memory of one run's warnings."""

    __slots__ = ("count", "warned_at")

    def __init__(self) -> None:
        self.count = 0
        self.warned_at: float | None = None

    def due(self, now: float, *, above: bool) -> int:
        """How many intervals were above the threshold since the last warning, if one is due now; else 0.

        A container that swings about the threshold is not warned of at each swing: intervals
        within the minute are counted and told with the next warning.
        """
        if not above:
            return 0
        self.count += 1
        if self.warned_at is not None and now - self.warned_at < AGAIN:
            return 0
        count, self.count, self.warned_at = self.count, 0, now
        return count


def sufficient(used: Counters, reading: Reading, elapsed: float, cpus: int) -> str:
    """The cap, as `cpu.max` takes it, under which this interval would not have been throttled."""
    wanted = _percent(used.usage_usec + used.throttled_usec, elapsed * 1e6)
    if reading.quota_usec is not None and reading.period_usec:
        wanted = max(wanted, 1 + reading.quota_usec * 100 // reading.period_usec)
    return f"{min(wanted, 100 * cpus)}%"


def _percent(part: float, whole: float) -> int:
    """Rounded up: a cap a little too large does no harm."""
    return -int(-100 * part // whole) if whole > 0 else 0
