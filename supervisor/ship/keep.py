"""Cursors on disk, beside the supervisor's own records: LOGDIR/supervisor/NAME.cursor.

Laws: a file is replaced whole, so it is the old one or the new one. It is reached through the folder's
descriptor. Nothing is synced: after a power cut a cursor may be older, or of no use, and records come twice.
"""

import os

from supervisor.logs.segments import SUPERVISOR
from supervisor.ship import cursor
from supervisor.ship.cursor import Cursor

#: Of ten thousand containers, with room to spare.
LARGEST = 16 << 20


def save(log_dir: int, name: str, found: Cursor) -> None:
    """Raises OSError."""
    data = cursor.encode(found)
    aside = f"{SUPERVISOR}/.{name}.cursor"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(aside, flags, 0o600, dir_fd=log_dir)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
    os.rename(aside, f"{SUPERVISOR}/{name}.cursor", src_dir_fd=log_dir, dst_dir_fd=log_dir)


def load(log_dir: int, name: str) -> Cursor | None:
    """None if there is none yet; ValueError or OSError if it is of no use."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        fd = os.open(f"{SUPERVISOR}/{name}.cursor", flags, dir_fd=log_dir)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"larger than {LARGEST} bytes")
    return cursor.decode(data)
