"""Which records were written behind a point of a log: for who has to know whether some are on record.

Laws:
* A point is the newest closed segment and the size of the current one. The order of stems is the order of
  closing, so a point is found again when the current segment has been closed meanwhile.
* Whole records, in order, at most as many as asked for; fewer only where the log ends.
* None where it need not or cannot be told: it was compressed since, or has been removed or replaced.
"""

from typing import Any, NamedTuple

import msgspec

from supervisor.logs import segments
from supervisor.logs.retention import ours
from supervisor.logs.segment import CURRENT, SUFFIX, Compressed, Segment, open_segment

_BLOCK = 1 << 14


class Point(NamedTuple):
    """`stem` is "" while nothing has been closed."""

    stem: str
    size: int


def newest(log_dir: int, name: str) -> str:
    """The stem of the newest closed segment of ours, "" if there is none."""
    return next((stem for stem in reversed(segments.closed(log_dir, name)) if ours(stem + SUFFIX)), "")


def behind(log_dir: int, name: str, point: Point, count: int) -> list[dict[str, Any]] | None:
    """OSError where it cannot be read."""
    later = [stem for stem in segments.closed(log_dir, name) if stem > point.stem and ours(stem + SUFFIX)]
    found: list[bytes] = []
    at = point.size
    for entry in [*(stem + SUFFIX for stem in later), CURRENT]:
        segment = open_segment(log_dir, name, entry)
        if segment is None:
            if at:
                return None
            continue
        try:
            if not _reaches(segment, at) or _compressed_since(segment, at):
                return None
            found += _lines(segment, at, count - len(found))
        finally:
            segment.close()
        if len(found) == count:
            break
        at = 0
    try:
        return [msgspec.json.decode(line, type=dict[str, Any]) for line in found]
    except msgspec.MsgspecError:
        return None  # not of our making


def _compressed_since(segment: Segment, at: int) -> bool:
    """Segments are compressed while no record waits (`upkeep`): what was to go there has been written. Nothing is unpacked
    to find what is never missing.
    """
    return isinstance(segment, Compressed) and segment.size() > at


def _reaches(segment: Segment, at: int) -> bool:
    """Whether a record ends there."""
    if isinstance(segment, Compressed) or not at:
        return segment.size() >= at
    return segment.pread(1, at - 1) == b"\n"


def _lines(segment: Segment, at: int, count: int) -> list[bytes]:
    data = b""
    while data.count(b"\n") < count and (block := segment.pread(_BLOCK, at + len(data))):
        data += block
    return data.split(b"\n")[:-1][:count]
