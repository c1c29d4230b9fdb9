"""What a service says over its sd_notify(3) socket, one datagram at a time: pure.

Whatever the bytes are, something comes of them: what is not understood is passed over, as the protocol wants it.
"""

from typing import NamedTuple

LONGEST = 4096  # bytes of a datagram
_STATUS = 256  # characters
#: Seconds for which a service may ask at once.
MOST_TIME = 3600.0
_DIGITS = 15


class Words(NamedTuple):
    """`alive` is WATCHDOG=1, `failing` WATCHDOG=trigger; times are seconds, `main` is a PID as the sender counts them."""

    ready: bool = False
    stopping: bool = False
    alive: bool = False
    failing: bool = False
    status: str | None = None
    main: int | None = None
    watchdog: float | None = None
    extend: float | None = None


def understand(datagram: bytes) -> Words:
    said = {}
    for line in datagram[:LONGEST].split(b"\n"):
        key, found, value = line.partition(b"=")
        if found:
            said[key] = value
    return Words(
        ready=said.get(b"READY") == b"1",
        stopping=said.get(b"STOPPING") == b"1",
        alive=said.get(b"WATCHDOG") == b"1",
        failing=said.get(b"WATCHDOG") == b"trigger",
        status=_text(said.get(b"STATUS")),
        main=_number(said.get(b"MAINPID")),
        watchdog=_seconds(said.get(b"WATCHDOG_USEC")),
        extend=_seconds(said.get(b"EXTEND_TIMEOUT_USEC")),
    )


def _text(value: bytes | None) -> str | None:
    """One line that any terminal can be shown."""
    if value is None:
        return None
    text = value.decode("utf-8", "replace")[:_STATUS]
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _number(value: bytes | None) -> int | None:
    """A positive one; None for what is none."""
    if value is None or not value.isdigit() or len(value) > _DIGITS:
        return None
    return int(value) or None


def _seconds(value: bytes | None) -> float | None:
    number = _number(value)
    return None if number is None else min(number / 1e6, MOST_TIME)
