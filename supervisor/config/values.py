"""Single values: a TOML value goes in, a Python value comes out, or `WrongError` says what to write."""

import datetime as dt
import difflib
import json
import os.path
import re
from collections.abc import Callable, Iterable

_SHOWN = 60
_PATH_MAX = 4095
#: What would break a line of a record, a header or a terminal: C0 controls and DEL.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CONTROL_BUT_TAB = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOSTNAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")


class WrongError(ValueError):
    """A value that cannot be taken; its text says why and what to write instead."""


def show(value: object) -> str:
    """`value` as one would write it in TOML, short, and safe to print on a terminal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        cut = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
        return '"' + "".join(_escape(char) for char in cut) + '"'
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a number that large"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dt.date | dt.time):
        return "a date or time"
    return "a list" if isinstance(value, list) else "a table"


def _escape(char: str) -> str:
    if char in '"\\' or not char.isprintable():
        return json.dumps(char)[1:-1]
    return char


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint to follow a refused word: ` (did you mean "x"?)`, or the choice where it is small."""
    words = list(known)
    # "memory" for "memory.max" before "memory.min", which is no less like it
    begun = [each for each in words if len(word) > 2 and each.lower().startswith(word.lower())]
    close = begun or difflib.get_close_matches(word, words, n=1)
    if close:
        return f" (did you mean {show(close[0])}?)"
    return f" (known: {', '.join(words)})" if len(words) <= 10 else ""


def text(value: object) -> str:
    if not isinstance(value, str):
        # A table has no one-line spelling, so only scalars are shown back in quotes.
        scalar = isinstance(value, bool | int | float) and "large" not in show(value)
        raise WrongError(f"{show(value)} is not a string" + (f' (write "{show(value)}")' if scalar else ""))
    return value


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise WrongError(f"{show(value)} is not a flag (write true or false)")
    return value


def whole(low: int, high: int) -> Callable[[object], int]:
    """A reader of integers from `low` to `high`."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise WrongError(f"{show(value)} is not a whole number from {low} to {high}")
        return value

    return read


def number(low: float, high: float) -> Callable[[object], float]:
    """A reader of numbers from `low` to `high`."""

    def read(value: object) -> float:
        # nan and the infinities fail the comparison by themselves
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise WrongError(f"{show(value)} is not a number from {low:g} to {high:g}")
        return float(value)

    return read


def choice(*words: str) -> Callable[[object], str]:
    """A reader of one of `words`."""
    listed = ", ".join(map(show, words[:-1])) + f" or {show(words[-1])}"

    def read(value: object) -> str:
        if value not in words:
            raise WrongError(f"{show(value)} is not known here (write {listed})")
        return str(value)

    return read


def argument(value: object) -> str:
    """One word of a command: any text but NUL, which execve cannot carry."""
    word = text(value)
    if "\0" in word:
        raise WrongError(f"{show(word)} holds a NUL, which no argument can")
    return word


def path(value: object) -> str:
    """A path as text, not empty, without control characters."""
    name = text(value)
    if not name:
        raise WrongError('"" is not a path')
    if CONTROL.search(name):
        raise WrongError(f"{show(name)} holds a control character, which no path here may")
    if len(name.encode()) > _PATH_MAX:
        raise WrongError(f"{show(name)} is longer than {_PATH_MAX} bytes")
    return name


def inside_path(value: object) -> str:
    """An absolute path inside the container, normalised ("/srv//www/" is "/srv/www"), never with ".."."""
    name = path(value)
    if not name.startswith("/"):
        raise WrongError(f"{show(name)} is not absolute (write {show('/' + name)})")
    if ".." in name.split("/"):
        raise WrongError(f'{show(name)} holds "..", which may not be used inside a container')
    return normal(name)


def normal(absolute: str) -> str:
    """`absolute` without doubled slashes, "." and ".."; by its text, no link is followed."""
    return os.path.normpath("/" + absolute.lstrip("/"))


def hostname(value: object) -> str:
    name = text(value)
    if not _HOSTNAME.fullmatch(name):
        raise WrongError(f"{show(name)} is not a host name (letters, digits and inner hyphens, at most 63)")
    return name


def env_name(name: str) -> str:
    if not _ENV_NAME.fullmatch(name):
        raise WrongError(f"{show(name)} is not a name of a variable (letters, digits and _, no digit first)")
    return name


def env_value(value: object) -> str:
    word = text(value)
    if _CONTROL_BUT_TAB.search(word):
        # The value itself is not shown: it may be a secret.
        raise WrongError("the value holds a control character or line break, which no variable here may")
    return word
