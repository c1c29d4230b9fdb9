"""Where a value stands, and the ledger that collects what is wrong."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from supervisor.config.values import show
from supervisor.errors import Problem

#: Keys as TOML nests them, with the index of an element of an array: ("container", "web", "mounts", 0).
Keys = tuple[str | int, ...]
_BARE = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Source:
    """One file: `name` as the user named it, its absolute `folder`, the line of each key, and its problems."""

    name: str
    folder: str
    lines: Mapping[Keys, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def root(self) -> "Place":
        return Place(self, ())


class Place(NamedTuple):
    """A key of a file, there or missing."""

    source: Source
    keys: Keys

    def at(self, *keys: str | int) -> "Place":
        return Place(self.source, self.keys + keys)

    @property
    def line(self) -> int:
        """The line of the key, or of the nearest table around it; 0 when the file is empty of them."""
        for length in range(len(self.keys), 0, -1):
            line = self.source.lines.get(self.keys[:length])
            if line is not None:
                return line
        return 0

    @property
    def key(self) -> str:
        """`container.web.mounts[0].source`; keys that are not plain words stand in quotes."""
        shown = ""
        for key in self.keys:
            if isinstance(key, int):
                shown += f"[{key}]"
            else:
                shown += ("." if shown else "") + (key if _BARE.fullmatch(key) else show(key))
        return shown

    def report(self, text: str) -> None:
        self.source.problems.append(Problem(self.source.name, self.line, self.key, text))

    def __str__(self) -> str:
        return f"{self.source.name}:{self.line}" if self.line else self.source.name
