"""Bytes that every record must hold which a regular expression matches: pure.

What is searched for is text; what is searched through is JSON. A needle is spelled alike in
both: it has no quote, backslash or control character, and ours is the only encoder, which escapes nothing else.

Laws: sound, never complete: a record whose text matches holds one of the needles, and None says
that nothing can be said. Where case does not matter a needle is in lower case, to be looked for in lowered
bytes; it has no letter then that has relatives outside ASCII (i, k, s: U+0130, U+212A, U+017F).
"""

import re
import warnings
from collections.abc import Iterable
from typing import Any, NamedTuple

#: Shorter ones are everywhere.
SHORTEST = 2
#: More passes over a block than this cost more than they save.
MOST = 8
_OUTSIDE = frozenset('"\\\x7f')
_RELATIVES = frozenset("iksIKS")


class Needles(NamedTuple):
    """One of `texts` is in each record that matches; `lowered`: in its bytes with A to Z lowered."""

    texts: tuple[bytes, ...]
    lowered: bool = False


def needles(pattern: str) -> Needles | None:
    """For re.search(pattern, text)."""
    parser: Any = getattr(
        re, "_parser", None
    )  # the parser of re itself; where it is no more, nothing is known
    if parser is None:
        return None
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            parsed = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    lowered = bool(parsed.state.flags & re.IGNORECASE)
    found = _required(parsed, lowered=lowered)
    return None if found is None else Needles(found, lowered)


def _required(items: Iterable[tuple[Any, Any]], *, lowered: bool) -> tuple[bytes, ...] | None:
    """The best alternatives of a sequence."""
    found: list[tuple[bytes, ...]] = []
    run: list[bytes] = []

    def end() -> None:
        text = b"".join(run)
        run.clear()
        if len(text) >= SHORTEST:
            found.append((text,))

    for operation, value in items:
        name = str(operation)
        if name == "AT":  # takes no text
            continue
        if name == "LITERAL" and (spelled := _spelled(value, lowered=lowered)):
            run.append(spelled)
            continue
        end()
        inner = _inner(name, value, lowered=lowered)
        if inner is not None:
            found.append(inner)
    end()
    return max(found, key=lambda texts: (min(map(len, texts)), -len(texts)), default=None)


def _inner(name: str, value: Any, *, lowered: bool) -> tuple[bytes, ...] | None:
    """What a part that is more than a letter requires."""
    if name == "SUBPATTERN":
        _, added, removed, items = value
        same = not (added | removed) & re.IGNORECASE
        return _required(items, lowered=lowered) if same else None
    if name == "ATOMIC_GROUP":
        return _required(value, lowered=lowered)
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        least, _, items = value
        return _required(items, lowered=lowered) if least else None
    if name == "BRANCH":
        each = [_required(items, lowered=lowered) for items in value[1]]
        if None in each:
            return None
        texts = tuple(dict.fromkeys(text for found in each if found for text in found))
        return texts if len(texts) <= MOST else None
    return None


def _spelled(code: int, *, lowered: bool) -> bytes:
    """A character as JSON has it, b"" if that cannot be said."""
    char = chr(code)
    if code < 0x20 or char in _OUTSIDE or 0xD800 <= code < 0xE000:
        return b""
    if lowered:
        return char.lower().encode() if code < 0x80 and char not in _RELATIVES else b""
    return char.encode()
