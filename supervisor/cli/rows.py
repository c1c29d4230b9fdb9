"""Rows of an answer in SQL, as a table for people or as JSON, one object a line: pure.

Laws: nothing in them can act on a terminal. A table is as wide as its first rows; later ones may be wider. In JSON,
times are RFC 3339 in UTC, numbers are numbers, and JSON is JSON.
"""

import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from supervisor.cli.render import word

Columns = Sequence[tuple[str, str]]
Rows = Sequence[tuple[Any, ...]]
_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL")


def table(batches: Iterable[tuple[Columns, Rows]]) -> Iterator[str]:
    """Lines; the first is of the columns' names."""
    widths: list[int] = []
    right: list[bool] = []
    for columns, rows in batches:
        cells = [[_cell(value) for value in row] for row in rows]
        if not widths and columns:
            head = [word(name) for name, _ in columns]
            widths = [max(map(len, column)) for column in zip(head, *cells, strict=True)]
            right = [any(each in kind for each in _NUMBERS) and kind != "INTERVAL" for _, kind in columns]
            yield _line(head, widths, right)
        for row in cells:
            yield _line(row, widths, right)


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if is_number else cell.ljust(width)
        for cell, width, is_number in zip(cells, widths, right, strict=True)
    )
    return "  ".join(padded).rstrip()


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict | list | tuple):
        return word(json.dumps(_plain(value), ensure_ascii=False))
    return word(value if isinstance(value, str) else str(_plain(value)))


def objects(batches: Iterable[tuple[Columns, Rows]]) -> Iterator[str]:
    """One JSON object a row."""
    for columns, rows in batches:
        for row in rows:
            pairs = zip(columns, row, strict=True)
            yield json.dumps({name: _json(value, kind) for (name, kind), value in pairs}, ensure_ascii=False)


def _json(value: Any, kind: str) -> Any:
    if kind == "JSON" and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return _plain(value)


def _plain(value: Any) -> Any:
    """As JSON has it."""
    for kind, spelled in _SPELLED:
        if isinstance(value, kind):
            return spelled(value)
    return str(value)


_SPELLED: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (str | int | bool | None, lambda value: value),
    (dict, lambda value: {str(key): _plain(each) for key, each in value.items()}),
    (list | tuple, lambda value: [_plain(each) for each in value]),
    (float, lambda value: value if math.isfinite(value) else None),
    (
        datetime,
        lambda value: value.isoformat(timespec="microseconds") + ("Z" if value.tzinfo is None else ""),
    ),
    (date, date.isoformat),
    (Decimal, float),
    (timedelta, timedelta.total_seconds),
)
