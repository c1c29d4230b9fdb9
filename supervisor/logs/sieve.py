"""What is kept of a block of records: whole lines in, those that are wanted out.

Laws: the same lines, in the same order, as if each were decoded and asked. Where some bytes must occur in
what is wanted, they are looked for in the whole block, and only lines that hold them are decoded.
A line that is no JSON object is kept only where nothing but the time is asked.
"""

import base64
import re
from typing import Any

import msgspec

from supervisor.logs.needles import Needles, needles
from supervisor.logs.stamp import LENGTH
from supervisor.logs.wanted import LEVELS, Wanted, rank

_TS = slice(7, 7 + LENGTH)  # of a record: behind '{"ts":"'
#: Text of a line that is not UTF-8 cannot be looked for in its base64.
_BASE64 = b'"line_b64":"'


class _Record(msgspec.Struct):
    event: Any = None
    level: Any = None
    container: Any = None
    run: Any = None
    stream: Any = None
    line: Any = None
    line_b64: Any = None
    data: msgspec.Raw = msgspec.Raw()


_decoder = msgspec.json.Decoder(_Record)
_any = msgspec.json.Decoder()


class Sieve:
    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self._since = (wanted.since or "").encode()
        self._until = wanted.until.encode() if wanted.until is not None else b"~"  # behind every digit
        self._timed = wanted.since is not None or wanted.until is not None
        self._rank = None if wanted.level is None else rank(wanted.level)
        self._grep = None if wanted.grep is None else re.compile(wanted.grep)
        self._decodes = wanted._replace(since=None, until=None) != Wanted()
        self._needles = _needles(wanted)

    def keep(self, block: bytes) -> list[bytes]:
        """The lines of `block` that are wanted, without newline."""
        lines = self._candidates(block)
        if self._timed:
            since, until = self._since, self._until
            lines = [line for line in lines if since <= line[_TS] < until]
        return [line for line in lines if self._wants(line)] if self._decodes else lines

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

    def _wants(self, raw: bytes) -> bool:
        try:
            record = _decoder.decode(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return False
        wanted = self.wanted
        return (
            (wanted.stream is None or record.stream == wanted.stream)
            and (wanted.run is None or record.run == wanted.run)
            and (self._rank is None or rank(record.level) >= self._rank)
            and (wanted.about is None or _among(record.container, wanted.about))
            and (self._grep is None or self._grep.search(_text(record, raw)) is not None)
            and (not wanted.fields or _has(record, raw, wanted.fields))
        )


def _among(container: object, names: frozenset[str]) -> bool:
    return isinstance(container, str) and container in names


def _text(record: _Record, raw: bytes) -> str:
    """What a regular expression is matched with: what was printed; of an event, the record itself."""
    if record.event == "output":
        if record.data:
            return bytes(record.data).decode(errors="replace")
        if isinstance(record.line, str):
            return record.line
        if isinstance(record.line_b64, str):
            try:
                return base64.b64decode(record.line_b64).decode(errors="backslashreplace")
            except ValueError:
                return ""
    return raw.decode(errors="replace")


def _has(record: _Record, raw: bytes, fields: tuple[tuple[str, str], ...]) -> bool:
    """Whether the fields of `data`, or of an event, are as wanted."""
    try:
        if record.event != "output":
            top = _any.decode(raw)
        elif record.data:
            top = _any.decode(record.data)
        else:
            return False
    except (msgspec.MsgspecError, RecursionError):
        return False
    return all(any(_spelled(each, value) for each in _at(top, key)) for key, value in fields)


def _at(value: object, key: str) -> list[object]:
    """What is at `a.b`: the key of that name, or `b` inside of `a`."""
    if not isinstance(value, dict):
        return []
    found = [value[key]] if key in value else []
    at = key.find(".")
    while at >= 0:
        if key[:at] in value:
            found += _at(value[key[:at]], key[at + 1 :])
        at = key.find(".", at + 1)
    return found


def _spelled(value: object, text: str) -> bool:
    """A string is its text; what else there is, its JSON."""
    if isinstance(value, str):
        return value == text
    return not isinstance(value, dict | list) and msgspec.json.encode(value) == text.encode(errors="replace")


# ── needles ────────────────────────────────────────────────────────────────────────────────


def _needles(wanted: Wanted) -> Needles | None:
    """The sharpest there are: what people search for is rarer than what records are made of."""
    if wanted.grep is not None and (found := needles(wanted.grep)) is not None:
        return Needles((*found.texts, _BASE64), found.lowered)
    if wanted.level is not None and (least := rank(wanted.level)) > rank("info"):
        return Needles(tuple(f'"level":"{level}"'.encode() for level in LEVELS[least:]))
    if wanted.run is not None:
        return Needles((f'"run":{wanted.run},'.encode(), f'"run":{wanted.run}}}'.encode()))
    if wanted.stream is not None:
        return Needles((f'"stream":"{wanted.stream}"'.encode(),))
    return None
