"""Which closed segments are dropped: pure.

Laws:
* The oldest go first, and nothing goes while something older stays: what is left of a log has no holes.
* No more goes than must: what is left is at most `keep` bytes, and ended at `oldest` or later.
* What is not named as we name segments is somebody else's, and never touched (`ours`).
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from supervisor.logs.frames import FORMATS
from supervisor.logs.segment import SUFFIX

_SUFFIXES = (SUFFIX, *(form.suffix for form in FORMATS))
_NAME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}\.[0-9]{6}Z(?:~[0-9]{6})?)(\..+)")
#: What a file is called while it is being made.
PART = ".part"


class File(NamedTuple):
    """A file of a closed segment: bytes, and seconds since the epoch of its last change, that of its last record."""

    entry: str
    size: int
    changed: float


class Closed(NamedTuple):
    """A closed segment; `files`: plain, compressed, or for a moment both. Sizes are summed."""

    stem: str
    files: tuple[File, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def ended(self) -> float:
        return min(file.changed for file in self.files)


def ours(entry: str) -> str | None:
    """The stem, of a name that we give to closed segments."""
    match = _NAME.fullmatch(entry)
    return match[1] if match is not None and match[2] in _SUFFIXES else None


def half_made(entry: str) -> bool:
    """Whether it is what a compression that did not come to its end has left."""
    return entry.endswith(PART) and ours(entry.removesuffix(PART).rpartition(".")[0]) is not None


def group(files: Iterable[File]) -> list[Closed]:
    """Files of ours as segments, oldest first."""
    found: dict[str, list[File]] = {}
    for file in sorted(files):
        stem = ours(file.entry)
        if stem is not None:
            found.setdefault(stem, []).append(file)
    return [Closed(stem, tuple(found[stem])) for stem in sorted(found)]


def surplus(segments: Sequence[Closed], keep: int, oldest: float | None) -> Sequence[Closed]:
    """Those of `segments`, oldest first, that are to be dropped."""
    total = sum(one.size for one in segments)
    count = 0
    for one in segments:
        if total <= keep and (oldest is None or one.ended >= oldest):
            break
        total -= one.size
        count += 1
    return segments[:count]
