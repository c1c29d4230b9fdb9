"""A bound on what a computation takes of the CPU, where what it is given is not to be trusted."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class ImpatientError(Exception):
    """It has taken longer."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise ImpatientError in whatever takes more CPU time than this, also in the midst of a regular expression: its engine looks
    for signals (SIGVTALRM of setitimer(2)). For the main thread; not within itself.
    """
    before = signal.signal(signal.SIGVTALRM, _ring)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _ring(_number: int, _frame: FrameType | None) -> None:
    raise ImpatientError
