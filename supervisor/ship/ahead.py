"""The segments of one folder from a place on, whatever became of them meanwhile.

Laws: they come oldest first, each once. A segment is known by its mark, so it is found again closed and
compressed; when it is gone, the next one that is left says that something was `lost`. Of the one that is being
written no more is read than there was when it was opened: between two turns of the loop that writes it, everything
in it is there to stay, and in the middle of a turn it may yet be cut back (a full disk).
"""

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from supervisor.logs import segments
from supervisor.logs.segment import CURRENT, SUFFIX, Mark, Segment, open_segment
from supervisor.ship.cursor import Place


class Found(NamedTuple):
    """A segment to be read from `offset` to `size`; it is open until the next one is asked for."""

    segment: Segment
    mark: Mark
    offset: int
    size: int
    lost: bool


class Current(NamedTuple):
    """The segment that is being written, opened by the loop that writes it, and its size then."""

    segment: Segment
    size: int

    def close(self) -> None:
        self.segment.close()


def current(log_dir: int, name: str) -> Current | None:
    """None where there is none, or nothing in it."""
    segment = open_segment(log_dir, name, CURRENT)
    if segment is None:
        return None
    size = segment.size()
    if size:
        return Current(segment, size)
    segment.close()
    return None


def ahead(log_dir: int, name: str, place: Place | None, now: Current | None) -> Iterator[Found]:
    """Without a place, all of them. `now` was opened before the closed ones are listed here: if it has been closed since,
    it is the last of these.
    """
    mark = Mark(place.stem, place.check) if place is not None else None
    offset = place.offset if place is not None else 0
    here = now.segment.mark if now is not None else None
    if now is not None and here is not None and here == mark:
        yield Found(now.segment, here, offset, now.size, lost=False)
        return
    known: set[Mark] = set()
    lost = mark is not None
    for found in _closed(log_dir, name, mark, offset, known):
        lost = False
        yield found
    if now is not None and here is not None and here not in known:
        yield Found(now.segment, here, 0, now.size, lost)


def _closed(log_dir: int, name: str, mark: Mark | None, offset: int, known: set[Mark]) -> Iterator[Found]:
    """From the one of this mark on, or from the next one that is left; `known` gets their marks."""
    try:
        stems = segments.closed(log_dir, name)
    except FileNotFoundError:
        return
    first = _place_of(log_dir, name, stems, mark) if mark is not None else 0
    lost = mark is not None and first < 0
    if mark is not None and first < 0:
        first = bisect_right(stems, mark.stem)
    for stem in stems[first:]:
        segment = open_segment(log_dir, name, stem + SUFFIX)
        if segment is None:
            continue
        with closing(segment):
            its = segment.mark
            if its is None:
                continue
            known.add(its)
            lost = lost and its != mark
            yield Found(segment, its, offset if its == mark else 0, segment.size(), lost)
            lost = False


def _place_of(log_dir: int, name: str, stems: list[str], mark: Mark) -> int:
    """Which of `stems` has this mark, -1: none. Only where the clock went back is it not called after it."""
    for index, stem in enumerate(stems):
        if stem == mark.stem or "~" in stem:
            segment = open_segment(log_dir, name, stem + SUFFIX)
            if segment is not None:
                with closing(segment):
                    if segment.mark == mark:
                        return index
    return -1
