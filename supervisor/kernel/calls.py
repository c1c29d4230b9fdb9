"""The system calls of programs in words: each function is one call, or the few that belong together.

Nothing is called here. Where a descriptor is meant, a slot is given; `keep` is the slot of the result.
Sources: the man page of each call, include/uapi/linux/{mount,openat2,prctl}.h for numbers.
"""

import errno
import os
import struct

from supervisor.kernel import libc, mounts, seccomp
from supervisor.kernel.program import Call, Program, Slot, Words, call

_CWD = -100  # AT_FDCWD
_EMPTY_PATH, _RECURSIVE = libc.AT_EMPTY_PATH, libc.AT_RECURSIVE
_PLACE = os.O_PATH | os.O_DIRECTORY


def open_path(path: str, flags: int, *, keep: Slot) -> Call:
    """By a path of whoever calls."""
    return call("openat", _CWD, os.fsencode(path), flags | os.O_CLOEXEC, 0, keep=keep, path=path)


def resolve(
    root: Slot,
    path: str,
    flags: int,
    *,
    keep: Slot,
    links: bool = True,
    passes: tuple[tuple[int, int], ...] = (),
) -> Call:
    """As mounts.resolve: `path` as if `root` were /."""
    how = libc.words(flags | os.O_CLOEXEC, 0, mounts.within(links=links))
    name = os.fsencode(path.lstrip("/") or ".")
    return call("openat2", root, name, how, len(how), keep=keep, passes=passes, path=path)


def close(*slots: Slot) -> Program:
    return tuple(call("close", slot) for slot in slots)


def write(slot: Slot, text: bytes, path: str) -> Call:
    """All of it at once, as files of the kernel want it."""
    return call("write", slot, text, len(text), expected=len(text), path=path)


def filesystem(
    fstype: str, options: tuple[tuple[str, str], ...], attributes: int, *, context: Slot, keep: Slot
) -> Program:
    """As mounts.filesystem: a new, detached one."""
    return (
        call("fsopen", os.fsencode(fstype), 1, keep=context, path=fstype),
        *(_option(context, fstype, key, value) for key, value in options),
        call("fsconfig", context, 6, None, None, 0, path=f"{fstype} create"),
        call("fsmount", context, 1, attributes, keep=keep, path=fstype),
        *close(context),
    )


def _option(context: Slot, fstype: str, key: str, value: str) -> Call:
    words = (1, os.fsencode(key), os.fsencode(value)) if value else (0, os.fsencode(key), None)
    return call("fsconfig", context, *words, 0, path=f"{fstype} {key}={value}")


def clone(place: Slot, *, recursive: bool, keep: Slot, path: str = "") -> Call:
    """As mounts.clone: the source of a bind mount."""
    flags = 1 | os.O_CLOEXEC | _EMPTY_PATH | (_RECURSIVE if recursive else 0)
    return call("open_tree", place, b"", flags, keep=keep, path=path)


def set_attributes(mount: Slot, added: int, *, recursive: bool = True) -> Call:
    attributes = libc.words(added, 0, 0, 0)
    flags = _EMPTY_PATH | (_RECURSIVE if recursive else 0)
    return call("mount_setattr", mount, b"", flags, attributes, len(attributes))


def map_ids(mount: Slot, userns: Slot, path: str) -> Call:
    """As mounts.map_ids."""
    attributes = Words((mounts.IDMAP, 0, 0, userns))
    size = 8 * len(attributes)
    flags = _EMPTY_PATH | _RECURSIVE
    return call("mount_setattr", mount, b"", flags, attributes, size, path=path, told="idmap")


def attach(mount: Slot, place: Slot, path: str) -> Call:
    return call("move_mount", mount, b"", place, b"", mounts.BOTH_EMPTY_PATH, path=path)


def folder(parent: Slot, name: str, path: str, *, keep: Slot) -> Program:
    """The O_PATH descriptor of a folder in one held open; made if it is missing, and no link is followed."""
    return (
        call("mkdirat", parent, os.fsencode(name), 0o755, passes=((errno.EEXIST, 0),), path=path),
        resolve(parent, name, _PLACE, keep=keep, links=False)._replace(path=path),
    )


def file_owner(ids: int) -> Program:
    """Whose files this thread makes; neither call says that it failed, so both are asked (setfsuid(2))."""
    impossible = 0xFFFFFFFF
    return tuple(
        one
        for name in ("setfsgid", "setfsuid")
        for one in (call(name, ids), call(name, impossible, expected=ids, path=str(ids)))
    )


def capset(permitted: int, inheritable: int = 0) -> Call:
    """Permitted and effective alike, as bit masks."""
    header, data = libc.capability_sets(permitted, permitted, inheritable)
    return call("capset", header, data, path=hex(permitted))


def prctl(option: int, *arguments: int, told: str, passes: tuple[tuple[int, int], ...] = ()) -> Call:
    return call("prctl", option, *arguments, passes=passes, told=told)


def seccomp_filter(program: bytes) -> Call:
    """As seccomp.install."""
    seccomp.check(program)
    count = len(program) // 8
    return call("seccomp", 1, 0, Words((count, program)), path=f"{count} instructions")


def rlimit(number: int, soft: int, hard: int, path: str) -> Call:
    """-1 is unlimited (prlimit(2))."""
    unsigned = (1 << 64) - 1
    limits = struct.pack("2Q", soft & unsigned, hard & unsigned)
    return call("prlimit64", 0, number, limits, None, path=path, told="setrlimit")
