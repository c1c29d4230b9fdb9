"""A container's cgroup files, opened once and read again and again.

Laws: a file the kernel does not have is absent, not an error. An open file stands for the cgroup
it was opened in: if that is removed, and even if one of the same name is made, reads say GONE.
"""

import errno
import os
from typing import Protocol

from supervisor.core.events import Json

#: No file read here is longer (cpu.stat with every key: under 300 bytes).
LONGEST = 4096
#: What a read answers when the cgroup has been removed, or its file with its controller.
GONE = frozenset({errno.ENODEV, errno.ENOENT, errno.ESTALE})

#: A folder's device and inode. cgroupfs numbers folders with 64 bits and never gives one twice.
Identity = tuple[int, int]


class Record(Protocol):
    """The journal's `record`, seen from here."""

    def __call__(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None: ...


def identity(folder: str) -> Identity | None:
    """Which folder this is, so that a reused cgroup is told from a new one; None: there is none."""
    try:
        found = os.stat(folder)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def open_file(folder: str, name: str) -> int | None:
    """An fd, or None where there is no such file. Other failures (EMFILE, EACCES) are raised."""
    if not folder:
        return None
    try:
        return os.open(f"{folder}/{name}", os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as failure:
        # ENOTDIR: a folder on the way has been replaced by a file.
        if failure.errno in GONE or failure.errno == errno.ENOTDIR:
            return None
        raise


def read(fd: int) -> bytes | None:
    """The whole file from its start, which also re-arms POLLPRI; None: the cgroup is gone.

    Every failure counts as gone, also those the kernel does not document: one container's
    trouble must not end the watch over the others.
    """
    try:
        return os.pread(fd, LONGEST, 0)
    except OSError:
        return None
