"""How a process ended: as wait(2) says it, and as an init shim writes it down, which is "CODE SIGNAL".

There one of the two is -1, and SIGNAL is the low byte of what wait(2) says: with 128 in it, if a core was dumped.
"""

import os
from typing import NamedTuple

_CORE = 128


class Status(NamedTuple):
    """One of `code` and `signal` is not -1, or neither where nobody can say; `core`: with that signal, a core was dumped."""

    code: int = -1
    signal: int = -1
    core: bool = False


def waited(status: int) -> Status:
    """From waitpid(2)."""
    if os.WIFSIGNALED(status):
        return Status(signal=os.WTERMSIG(status), core=os.WCOREDUMP(status))
    return Status(os.WEXITSTATUS(status))


def recorded(text: bytes) -> Status | None:
    """From an exit file; None where nothing is written down."""
    try:
        code, number = map(int, text.split())
    except ValueError:
        return None
    return Status(signal=number & ~_CORE, core=number & _CORE != 0) if number > 0 else Status(code)
