"""Waiting for changes in folders: inotify(7).

Law: nothing is missed between two reads. What the kernel could not keep is said as `overflow`, and everything has
to be looked at.
"""

import os
import select
import struct
from typing import NamedTuple

from supervisor.kernel.libc import inotify_add_watch, inotify_init1

#: Files that are written, made, and given a new name (inotify.h).
_MODIFY, _MOVED_TO, _CREATE, _ONLYDIR = 0x2, 0x80, 0x100, 0x01000000
_OVERFLOW = 0x4000
_EVENT = struct.Struct("iIII")
_ROOM = 1 << 16


class Changes(NamedTuple):
    """`folders`: the numbers that `watch` gave."""

    folders: frozenset[int]
    overflow: bool


def watcher() -> int:
    """A descriptor, to be closed; KernelError where the user has too many (fs.inotify.max_user_instances)."""
    return inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)


def watch(watcher: int, folder: str) -> int:
    """The folder's number; the same one again for the same folder."""
    return inotify_add_watch(watcher, folder, _MODIFY | _MOVED_TO | _CREATE | _ONLYDIR)


def wait(watcher: int, seconds: float | None = None) -> Changes:
    """As soon as there is one; nothing after `seconds`."""
    poll = select.poll()
    poll.register(watcher, select.POLLIN)
    if not poll.poll(None if seconds is None else seconds * 1000):
        return Changes(frozenset(), overflow=False)
    data = os.read(watcher, _ROOM)
    found, overflow, at = set(), False, 0
    while at < len(data):
        number, mask, _, length = _EVENT.unpack_from(data, at)
        overflow |= bool(mask & _OVERFLOW)
        found.add(number)
        at += _EVENT.size + length
    return Changes(frozenset(found), overflow)
