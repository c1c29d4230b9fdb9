"""The files of one folder of records, and reading them backwards.

Laws: `current.jsonl` is the newest. Closed segments are older; the order of their stems is
their age, whatever the clock did. Readers see whole lines only. Compressed segments
(`.jsonl.zst`, `.jsonl.gz`) are listed for their names but not read here.
"""

import os
from collections.abc import Iterator

CURRENT = "current.jsonl"
SUFFIX = ".jsonl"
BLOCK = 1 << 16


def stems(log_dir: int, name: str) -> list[str]:
    """Names of closed segments without suffix, oldest first, compressed ones too."""
    return sorted({entry.split(SUFFIX)[0] for entry in _entries(log_dir, name) if entry != CURRENT})


def closed(log_dir: int, name: str) -> list[str]:
    """Stems of the closed segments that can be read as they are, oldest first."""
    return sorted(
        entry.removesuffix(SUFFIX)
        for entry in _entries(log_dir, name)
        if entry.endswith(SUFFIX) and entry != CURRENT
    )


def _entries(log_dir: int, name: str) -> list[str]:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=log_dir)
    try:
        return [entry for entry in os.listdir(folder) if SUFFIX in entry]
    finally:
        os.close(folder)


def open_segment(log_dir: int, name: str, entry: str) -> int | None:
    """A reading descriptor; None if there is no such file (any more)."""
    try:
        return os.open(
            f"{name}/{entry}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=log_dir
        )
    except FileNotFoundError:
        return None


def whole_size(fd: int, size: int) -> int:
    """Where the last whole line before `size` ends."""
    while size > 0:
        start = max(0, size - BLOCK)
        newline = os.pread(fd, size - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        size = start
    return 0


def backwards(fd: int, end: int) -> Iterator[bytes]:
    """Whole lines before `end`, without their newline, last first, read block by block."""
    end = whole_size(fd, end)
    tail: list[bytes] = []  # blocks of a line whose start has not been read yet, last first
    position = end - 1  # without the last newline
    while position > 0:
        start = max(0, position - BLOCK)
        block = os.pread(fd, position - start, start)
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
