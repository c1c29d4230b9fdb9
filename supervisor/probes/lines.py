"""Readiness by output: a line that matches a pattern. Pure.

The pattern is root's, the lines are the container's: of each only so much is looked at, so that a long one costs no
more than a short one.
"""

import re

LONGEST = 1024  # bytes


class Pattern:
    """One pattern over several streams, each with an unfinished line of its own."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern)
        self._begun: dict[str, bytes] = {}

    def matches(self, stream: str, data: bytes) -> bool:
        """Whether a line does that `data` goes on with, begins or ends, as far as it is there."""
        lines = (self._begun.get(stream, b"") + data).split(b"\n")
        self._begun[stream] = lines[-1][:LONGEST]
        if not lines[-1]:
            lines.pop()
        return any(self._pattern.search(line[:LONGEST].decode("utf-8", "replace")) for line in lines)
