"""`supervisor ship`: how far each sink has come; and what `status` says where one fails."""

import json
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from supervisor.api.call import QUICK, Call
from supervisor.cli.render import word

HEADER = ("SINK", "TYPE", "STATE", "SHIPPED", "DROPPED", "OLDEST")


def run(arguments: Namespace, where: str | None) -> int:
    found = sinks(where)
    print(json.dumps(found, indent=2) if arguments.json else "\n".join(table(found)))
    return 0


def sinks(where: str | None) -> list[dict[str, Any]]:
    """schema.Sink's of a running supervisor."""
    found: list[dict[str, Any]] = Call(where, "GET", "/v1/ship", timeout=QUICK).value()
    return found


def table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    """`oldest` is when the first of those records was written that are still to be shipped."""
    rows = [HEADER, *((*_cells(one),) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return [*lines, *failures(found)] if found else ["no sink is configured ([supervisor.ship.NAME])"]


def _cells(one: Mapping[str, Any]) -> Iterator[str]:
    for key in ("name", "type", "state", "shipped", "dropped", "oldest"):
        yield word(str("-" if one[key] is None else one[key]))


def failures(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each sink whose receiver does not take what it is sent."""
    for one in found:
        if one["state"] == "failing":
            yield word(f"{one['name']}: not shipping since {one['failing_since']}: {one['error']}")
