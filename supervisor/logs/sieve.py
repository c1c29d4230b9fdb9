"""What is kept of a block of records: whole lines in, those that are wanted out.

Laws: the same lines, in the same order, as if each were decoded and asked. Where some bytes must occur in
what is wanted, they are looked for in the whole block, and only lines that hold them are decoded.
A line that is no JSON object is kept only where nothing but the time is asked.
"""

import re
from collections.abc import Callable

from supervisor.logs.needles import SHORTEST, Needles, needles
from supervisor.logs.stamp import LENGTH
from supervisor.logs.wanted import EVERYTHING, LEVELS, Wanted, rank

_TS = slice(7, 7 + LENGTH)  # of a record: behind '{"ts":"'
#: Text of a line that is not UTF-8 cannot be looked for in its base64.
_BASE64 = b'"line_b64":"'
_ESCAPE = b"\\u"
_PLAIN = re.compile("[A-Za-z0-9_ -]+")


class Sieve:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._since = (wanted.since or "").encode()
        self._until = wanted.until.encode() if wanted.until is not None else b"~"  # behind every digit
        self._timed = wanted.since is not None or wanted.until is not None
        self._wants: Callable[[bytes], bool] | None = None
        if wanted._replace(since=None, until=None) != EVERYTHING:
            from supervisor.logs.judge import Judge  # noqa: PLC0415  # who asks for a time alone decodes nothing

            self._wants = Judge(wanted).wants
        self._needles = _needles(wanted)

    def keep(self, block: bytes) -> list[bytes]:
        """The lines of `block` that are wanted, without newline."""
        lines = self._candidates(block)
        if self._timed:
            since, until = self._since, self._until
            lines = [line for line in lines if since <= line[_TS] < until]
        return lines if self._wants is None else [line for line in lines if self._wants(line)]

    def _candidates(self, block: bytes) -> list[bytes]:
        if self._needles is None:
            return block.split(b"\n")[:-1]
        texts, lowered = self._needles
        searched = block.lower() if lowered else block
        ends: dict[int, int] = {}
        for text in texts:
            at = searched.find(text)
            while at >= 0:
                end = block.find(b"\n", at)
                ends[end] = at
                at = searched.find(text, end)
        return [block[block.rfind(b"\n", 0, ends[end]) + 1 : end] for end in sorted(ends)]


# ── needles ────────────────────────────────────────────────────────────────────────────────


def _needles(wanted: Wanted) -> Needles | None:
    """The sharpest there are: what people search for is rarer than what records are made of."""
    if wanted.grep is not None and (found := needles(wanted.grep)) is not None:
        return Needles((*found.texts, _BASE64), found.lowered)
    if values := list(filter(None, (_of_field(value) for _, value in wanted.fields))):
        return Needles((max(values, key=len), _ESCAPE))
    if wanted.level is not None and (least := rank(wanted.level)) > rank("info"):
        return Needles(tuple(f'"level":"{level}"'.encode() for level in LEVELS[least:]))
    if wanted.run is not None:
        return Needles((f'"run":{wanted.run},'.encode(), f'"run":{wanted.run}}}'.encode()))
    if wanted.stream is not None:
        return Needles((f'"stream":"{wanted.stream}"'.encode(),))
    return None


def _of_field(value: str) -> bytes:
    """What a record with this value holds, or an escape; b"" if that cannot be said.

    Programs may write any character as an escape, and a number that is no integer in many ways.
    """
    if (
        value.replace(".", "").replace("e", "").replace("E", "").lstrip("-").isdigit()
        and not value.lstrip("-").isdigit()
    ):
        return b""
    longest = max(_PLAIN.findall(value), key=len, default="")
    return longest.encode() if len(longest) >= SHORTEST else b""
