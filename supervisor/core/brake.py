"""The brake on restarts of the whole host: so many a second, and as many at once as fall due in a second.

Laws:
- In any span of time no more restarts are let through than rate * span + rate.
- Who has to wait has a place of its own in the queue: nobody is put off twice, and places are 1 / rate apart.
"""

from typing import NamedTuple


class Brake(NamedTuple):
    """`tokens` below 0 are restarts that wait; `since` is when it began to act, `held` how many it has put off since."""

    rate: float
    tokens: float
    at: float
    since: float | None = None
    held: int = 0


def fresh(rate: float, now: float) -> Brake:
    return Brake(rate, _burst(rate), now)


def take(brake: Brake, now: float) -> tuple[Brake, float]:
    """One restart is due: the brake after it, and the seconds by which it is put off."""
    filled = _fill(brake, now)
    wait = max(0.0, (1 - filled.tokens) / brake.rate)
    new = filled._replace(tokens=filled.tokens - 1)
    if not wait:
        return new, 0.0
    return new._replace(since=now if brake.since is None else brake.since, held=brake.held + 1), wait


def rest(brake: Brake, now: float) -> float:
    """Seconds until it has nothing to hold back any more, if nothing comes; 0: it has let go."""
    return max(0.0, (_burst(brake.rate) / 2 - _fill(brake, now).tokens) / brake.rate)


def release(brake: Brake, now: float) -> Brake:
    return _fill(brake, now)._replace(since=None, held=0)


def _fill(brake: Brake, now: float) -> Brake:
    tokens = min(_burst(brake.rate), brake.tokens + max(0.0, now - brake.at) * brake.rate)
    return brake._replace(tokens=tokens, at=max(now, brake.at))


def _burst(rate: float) -> float:
    return max(1.0, rate)
