"""How many lines a container may print, and what of a chunk goes when it prints more: pure.

Laws:
* A bucket of tokens, a second's worth at most: so many lines at once, and `rate` lines a second for ever.
* Whole lines go. Only a line that the pipe cannot hold, or that has no end, goes in pieces; then all of it goes.
* Nothing goes uncounted: a Loss has every byte, and each line once.
"""

from typing import NamedTuple

#: More lines than a pipe can hold: no limit.
UNLIMITED = 1 << 62


class Loss(NamedTuple):
    """What was dropped; `lines` counts a line of which the beginning was dropped, not the rest of one."""

    lines: int = 0
    bytes: int = 0

    def plus(self, other: "Loss") -> "Loss":
        return Loss(self.lines + other.lines, self.bytes + other.bytes)


class Tokens(NamedTuple):
    """`left` lines may be printed `at` this time (seconds, of any clock that only goes forward)."""

    left: float
    at: float


class Cut(NamedTuple):
    """`kept` bytes at the start of a chunk, or behind `skipped` ones, are let through, the `dropped` ones behind them are not."""

    skipped: int
    kept: int
    dropped: int
    loss: Loss
    midline: bool


def refill(tokens: Tokens | None, rate: float, now: float) -> Tokens:
    most = max(1.0, rate)
    if tokens is None:
        return Tokens(most, now)
    return Tokens(min(most, tokens.left + (now - tokens.at) * rate), now)


def cut(chunk: bytes, lines: int, *, midline: bool, all_of_it: bool) -> Cut:
    """Where `lines` lines of a chunk end, and what goes of the rest.

    `midline`: the chunk begins within a line that is being dropped. `all_of_it`: no more of an unfinished
    last line can, or will, come.
    """
    skipped = 0
    if midline:
        skipped = chunk.find(b"\n") + 1 or len(chunk)
        midline = not chunk.endswith(b"\n", 0, skipped)
    whole = max(skipped, chunk.rfind(b"\n") + 1)
    count = chunk.count(b"\n", skipped, whole)
    if count < lines or (count == lines and lines):
        return Cut(skipped, len(chunk) - skipped, 0, Loss(0, skipped), midline)
    kept = whole - skipped - len(chunk[skipped:whole].split(b"\n", lines)[-1]) if lines else 0
    dropped, gone = whole - skipped - kept, count - lines
    if all_of_it and not lines and len(chunk) > whole:
        dropped, gone, midline = len(chunk) - skipped, gone + 1, True
    return Cut(skipped, kept, dropped, Loss(gone, skipped + dropped), midline)
