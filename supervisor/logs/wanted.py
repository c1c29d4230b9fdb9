"""Which records are asked for: values, and the reading of them from text.

Laws: every condition that is given must hold; one that a record has no answer to (the stream of
an event) does not hold. Times are half open, `since` <= ts < `until`, so that two ranges side by side
share no record. `level` is that one and what is graver; a level that is none of ours counts as "info".
"""

import re
import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple

from supervisor.logs.moment import moment
from supervisor.logs.stamp import Clock

STREAMS = ("stdout", "stderr")
LEVELS = ("debug", "info", "warning", "error", "critical")
_SPELLINGS = {
    "trace": "debug",
    "notice": "info",
    "warn": "warning",
    "err": "error",
    "crit": "critical",
    "fatal": "critical",
}


class Wanted(NamedTuple):
    """`fields`: pairs of a dotted key and the text of its value. `about`: containers; None: whatever it is about."""

    since: str | None = None
    until: str | None = None
    stream: str | None = None
    level: str | None = None
    grep: str | None = None
    run: int | None = None
    fields: tuple[tuple[str, str], ...] = ()
    about: frozenset[str] | None = None


EVERYTHING = Wanted()


def wanted(
    clock: Clock,
    *,
    since: str | None = None,
    until: str | None = None,
    stream: str | None = None,
    level: str | None = None,
    grep: str | None = None,
    run: int | None = None,
    field: Iterable[str] = (),
) -> Wanted:
    """From what somebody wrote; ValueError says which of it is wrong, by its option's name."""
    return Wanted(
        since=None if since is None else _named("since", lambda: moment(since, clock)),
        until=None if until is None else _named("until", lambda: moment(until, clock)),
        stream=None if stream is None else one_of("stream", stream, STREAMS),
        level=None
        if level is None
        else one_of("level", _SPELLINGS.get(level.lower(), level.lower()), LEVELS),
        grep=None if grep is None else _pattern(grep),
        run=run,
        fields=tuple(map(_pair, field)),
    )


def _named(option: str, read: Callable[[], str]) -> str:
    try:
        return read()
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def one_of(option: str, text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise ValueError(f'{option}: "{text}" is none of {", ".join(choices)}')
    return text


def rank(level: object) -> int:
    """How grave; more is graver."""
    return LEVELS.index(level) if isinstance(level, str) and level in LEVELS else LEVELS.index("info")


def _pattern(text: str) -> str:
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f'grep: "{text}" is not a regular expression of Python: {error}') from None
    return text


def _pair(text: str) -> tuple[str, str]:
    key, found, value = text.partition("=")
    if not found or not key:
        raise ValueError(f'field: "{text}" is not KEY=VALUE')
    return key, value
