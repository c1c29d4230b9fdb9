"""Which cap on the CPU would have sufficed.

An estimate from above. The kernel counts how long each CPU's run queue stood still, not how long
its tasks would have run, so a task that wanted 1 ms more of a 100 ms period and waited for the next
counts as having wanted it all. Summed over CPUs, and never more than the machine has. It is an
average over the time given: where that falls below the present cap (short bursts between long
rests), a little more than the cap is named, since the cap was too small whenever it throttled.
"""

from supervisor.core.readings import Reading


def sufficient(usage_usec: int, throttled_usec: int, reading: Reading, elapsed: float, cpus: int) -> int:
    """Per cent of one CPU, for `elapsed` seconds in which so much was used and waited for under `reading`'s cap."""
    wanted = _percent(usage_usec + throttled_usec, elapsed * 1e6)
    if reading.quota_usec is not None and reading.period_usec:
        wanted = max(wanted, 1 + reading.quota_usec * 100 // reading.period_usec)
    return min(wanted, 100 * cpus)


def share(reading: Reading) -> float:
    """Per cent of the run's periods that were throttled."""
    return round(100 * reading.nr_throttled / reading.nr_periods, 2) if reading.nr_periods else 0.0


def cap(reading: Reading) -> float | None:
    """cpu.max in per cent of one CPU; None: there is none."""
    if reading.quota_usec is None or not reading.period_usec:
        return None
    return 100 * reading.quota_usec / reading.period_usec


def _percent(part: float, whole: float) -> int:
    """Rounded up: a cap a little too large does no harm."""
    return -int(-100 * part // whole) if whole > 0 else 0
