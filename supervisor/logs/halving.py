"""Where a time begins in a segment, found by halving.

Law: the time of records is taken not to decrease within a segment. Where the clock was set back, what is
found is one of the places where the time is passed.
"""

from supervisor.logs.segment import Segment
from supervisor.logs.stamp import LENGTH

_TS = slice(7, 7 + LENGTH)
_BLOCK = 4096


def first_at(segment: Segment, ts: str, size: int) -> int:
    """Where the first record begins that is of `ts` or later; `size` if none is.

    Reads no further than `size`, which is where a line ends.
    """
    bound = ts.encode()
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        start = line_from(segment, middle, size)
        if start >= size:
            high = middle
            continue
        if segment.pread(_TS.stop, start)[_TS] >= bound:
            high = middle
        else:
            low = middle + 1
    return line_from(segment, low, size)


def line_from(segment: Segment, position: int, size: int) -> int:
    """Where the first line begins that begins at `position` or later; `size` if none does."""
    if position == 0:
        return 0
    at = position - 1
    while at < size:
        block = segment.pread(min(_BLOCK, size - at), at)
        newline = block.find(b"\n")
        if newline >= 0:
            return at + newline + 1
        if not block:
            break
        at += len(block)
    return size
