"""When a container is throttled too much: one warning, then at most one a minute."""

from supervisor.core import throttling
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
    return f"{throttling.sufficient(used.usage_usec, used.throttled_usec, reading, elapsed, cpus)}%"
