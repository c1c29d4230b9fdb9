"""Delays that grow from one attempt to the next: pure, no clock, no dice."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delay before the n-th attempt in a row: initial * factor**(n-1), at most max, ± jitter share. Seconds."""

    initial: float = 0.1
    factor: float = 2.0
    max: float = 30.0
    jitter: float = 0.1


#: Where nothing is declared: between restarts.
RESTART = Backoff()


def delay(n: int, backoff: Backoff, u: float = 0.5) -> float:
    """Seconds before the n-th attempt in a row (n >= 1), with jitter by `u` in [0, 1)."""
    try:
        base = backoff.initial * backoff.factor ** (n - 1)
    except OverflowError:
        base = backoff.max if backoff.initial else 0.0
    return min(base, backoff.max) * (1 + backoff.jitter * (2 * u - 1))
