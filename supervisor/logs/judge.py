"""Whether one record is wanted, its time aside: decoded, and asked.

Law: what is no JSON object is not wanted, for it has no answer.
"""

import base64
import re
from typing import Any

import msgspec

from supervisor.logs.wanted import Wanted, rank


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


class Judge:
    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._rank = None if wanted.level is None else rank(wanted.level)
        self._grep = None if wanted.grep is None else re.compile(wanted.grep)

    def wants(self, raw: bytes) -> bool:
        try:
            record = _decoder.decode(raw)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return False
        wanted = self._wanted
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
