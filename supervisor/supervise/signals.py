"""Signals by the names people and configuration files use: SIGTERM, term, 15, SIGRTMIN+3."""

import re
import signal

REALTIME = re.compile(r"SIGRT(MIN\+|MAX-)(\d{1,2})")


def number(name: str) -> int:
    """ValueError if there is no such signal."""
    word = name.strip().upper()
    if word.isdecimal():
        return _valid(int(word), name)
    word = word if word.startswith("SIG") else f"SIG{word}"
    if found := REALTIME.fullmatch(word):
        offset = int(found[2])
        return _valid(signal.SIGRTMIN + offset if found[1] == "MIN+" else signal.SIGRTMAX - offset, name)
    try:
        return signal.Signals[word].value
    except KeyError:
        raise ValueError(f"{name!r} is not a signal") from None


def _valid(value: int, name: str) -> int:
    if value not in signal.valid_signals():
        raise ValueError(f"{name!r} is not a signal")
    return value
