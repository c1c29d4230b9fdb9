"""JSON files: their values, and the line of each key, as TOML files have them."""

import bisect
import json
import re
from typing import Any

from supervisor.config.place import Keys, Place, Source
from supervisor.errors import Problem

_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[][{}:,]|[^][{}:,"\s]+')
#: What lies deeper has the line of what holds it.
_DEEPEST = 8


def read_json(text: str, name: str, folder: str, problems: list[Problem]) -> tuple[Any, Source] | None:
    """The value of a JSON text and the source that knows its lines; None after reporting that it is none.

    A key that stands twice in an object is reported: JSON would silently keep the last.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(Problem(name, error.lineno, "", f"is not JSON: {error.msg} (column {error.colno})"))
    except RecursionError:
        problems.append(Problem(name, 0, "", "is nested too deeply"))
    except ValueError as error:
        # json lets int() speak for itself about numbers of thousands of digits.
        problems.append(Problem(name, 0, "", f"is not JSON: {error}"))
    else:
        lines, again = find_lines(text)
        source = Source(name, folder, lines, problems)
        for keys, line in again:
            problems.append(Problem(name, line, Place(source, keys).key, "is written twice (take one out)"))
        return value, source
    return None


def find_lines(text: str) -> tuple[dict[Keys, int], list[tuple[Keys, int]]]:
    """The line of each key and element of a text that is JSON, and what stands twice."""
    breaks = [match.start() for match in re.finditer("\n", text)]
    lines: dict[Keys, int] = {}
    again = []
    path: list[str | int] = []
    before = ""
    for match in _WORD.finditer(text):
        word = match[0]
        if word in ("]", "}"):
            path.pop()
        elif word == ",":
            if isinstance(path[-1], int):
                path[-1] += 1
        elif word != ":":
            in_list = bool(path) and isinstance(path[-1], int)
            if (in_list or (path and before in ("{", ","))) and len(path) <= _DEEPEST:
                if not in_list:
                    path[-1] = json.loads(word)
                keys = tuple(path)
                line = bisect.bisect_left(breaks, match.start()) + 1
                if keys in lines:
                    again.append((keys, line))
                lines.setdefault(keys, line)
            if word in ("[", "{"):
                path.append(0 if word == "[" else "")
        before = word
    return lines, again
