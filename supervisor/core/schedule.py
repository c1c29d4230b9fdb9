"""What of a schedule is due, and what was missed: pure, from the instants given.

Laws:
- Every time in a stretch is either met or missed, once, however often one looks.
- A time is met if it is the latest and not more than GRACE seconds past; all others have been missed.

Instants are seconds since the epoch.
"""

from collections.abc import Callable
from typing import NamedTuple

#: Seconds by which a time may be late and still count: a busy machine, or a clock that was set.
GRACE = 60.0
#: Times that are counted as missed at most; more are as good as these.
MOST = 1000

#: The first time later than an instant; None: there is none.
Following = Callable[[float], float | None]


class Due(NamedTuple):
    """`now`: a time has come, its instant; `missed` times before it passed unmet, the latest at `last_missed`."""

    now: float | None
    missed: int
    last_missed: float | None


NOTHING = Due(None, 0, None)


def due(following: Following, since: float, now: float) -> Due:
    """What has come to pass in the time after `since` and up to `now`."""
    passed: list[float] = []
    at = following(since)
    while at is not None and at <= now:
        passed.append(at)
        # Far behind: begin again shortly before now.
        at = following(at if len(passed) < MOST else max(at, now - GRACE))
    met = passed.pop() if passed and now - passed[-1] <= GRACE else None
    return Due(met, len(passed), passed[-1] if passed else None)
