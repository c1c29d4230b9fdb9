"""The segments of one folder of records, and reading them backwards.

Laws: `current.jsonl` is the newest. Closed segments are older; the order of their stems is
their age, whatever the clock did. Readers see whole lines only. A segment is listed once: a
compressed file has its name only when it is whole, so it stands for the plain one beside it.
"""

import os
from collections.abc import Iterator

from supervisor.logs.frames import FORMATS
from supervisor.logs.segment import CURRENT, SUFFIX, Segment

#: The folder of the supervisor's own records.
SUPERVISOR = "supervisor"
BLOCK = 1 << 16
_SUFFIXES = (SUFFIX, *(form.suffix for form in FORMATS))


def entries(log_dir: int, name: str) -> list[str]:
    """File names, oldest first, `current.jsonl` last whether it is there or not; [] without a folder."""
    try:
        found = files(log_dir, name)
    except FileNotFoundError:
        return []
    by_stem = {entry.partition(SUFFIX)[0]: entry for entry in sorted(found)}  # a longer suffix comes later
    return [*(by_stem[stem] for stem in sorted(by_stem)), CURRENT]


def entries_backwards(log_dir: int, name: str) -> Iterator[str]:
    """Lazily, newest first: most tails need current.jsonl only. A folder that is not there has none."""
    yield CURRENT
    for stem in reversed(closed(log_dir, name)):
        yield stem + SUFFIX


def closed(log_dir: int, name: str) -> list[str]:
    """Stems of the closed segments, oldest first; [] without a folder."""
    try:
        return sorted({entry.partition(SUFFIX)[0] for entry in files(log_dir, name)})
    except FileNotFoundError:
        return []


def files(log_dir: int, name: str) -> list[str]:
    """All files of closed segments, in no order."""
    return [entry for entry in listing(log_dir, name) if entry.endswith(_SUFFIXES) and entry != CURRENT]


def listing(log_dir: int, name: str) -> list[str]:
    """Whatever is in the folder."""
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=log_dir)
    try:
        return os.listdir(folder)
    finally:
        os.close(folder)


def whole_size(segment: Segment, size: int) -> int:
    """Where the last whole line before `size` ends."""
    while size > 0:
        start = max(0, size - BLOCK)
        newline = segment.pread(size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


def backwards(segment: Segment, end: int) -> Iterator[bytes]:
    """Whole lines before `end`, without their newline, last first, read block by block."""
    end = whole_size(segment, end)
    tail: list[bytes] = []  # blocks of a line whose start has not been read yet, last first
    position = end - 1  # without the last newline
    while position > 0:
        start = max(0, position - BLOCK)
        block = segment.pread(position - start, start)
        position = start
        first, *lines = block.split(b"\n")
        if lines:
            tail.append(lines.pop())
            yield b"".join(reversed(tail))
            yield from reversed(lines)
            tail = []
        tail.append(first)
    if end > 0:
        yield b"".join(reversed(tail))
