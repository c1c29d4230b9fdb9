"""The system calls of programs in words: each function is one call, or the few that belong together.

Nothing is called here. Where a descriptor is meant, a slot is given; `keep` is the slot of the result.
Sources: the man page of each call, include/uapi/linux/{mount,openat2,prctl}.h for numbers.
"""

import errno
import os
import struct

from supervisor.errors import KernelError
from supervisor.kernel import libc, mounts
from supervisor.kernel.program import RESULT, Call, Passes, Program, Slot, Words, call, jump

_CWD = -100  # AT_FDCWD
_INSTRUCTION, _LONGEST_FILTER = 8, 4096  # bytes of a struct sock_filter, BPF_MAXINSNS
_EMPTY_PATH, _RECURSIVE = libc.AT_EMPTY_PATH, libc.AT_RECURSIVE
_PLACE = os.O_PATH | os.O_DIRECTORY
_CREATED = RESULT  # for the moment until it is closed


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
    passes: Passes = (),
) -> Call:
    """`path` as if `root` were /, which may be hostile; see mounts.within."""
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
    """A new, detached one; `options` as in mount(8) -o, "" for a bare word."""
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
    """A detached copy of the mount tree at `place`: the source of a bind mount."""
    flags = 1 | os.O_CLOEXEC | _EMPTY_PATH | (_RECURSIVE if recursive else 0)
    return call("open_tree", place, b"", flags, keep=keep, path=path)


def set_attributes(mount: Slot, added: int, removed: int = 0, *, recursive: bool = True) -> Call:
    attributes = libc.words(added, removed, 0, 0)
    flags = _EMPTY_PATH | (_RECURSIVE if recursive else 0)
    return call("mount_setattr", mount, b"", flags, attributes, len(attributes))


def map_ids(mount: Slot, userns: int, path: str) -> Call:
    """Show the files of a detached mount with their owners' ids as `userns`, a descriptor, maps them: 0 on the disk is
    root there. Told as "idmap" where the file system cannot (mount_setattr(2)).
    """
    attributes = libc.words(mounts.IDMAP, 0, 0, userns)
    flags = _EMPTY_PATH | _RECURSIVE
    return call("mount_setattr", mount, b"", flags, attributes, len(attributes), path=path, told="idmap")


def attach(mount: Slot, place: Slot, path: str) -> Call:
    return call("move_mount", mount, b"", place, b"", mounts.BOTH_EMPTY_PATH, path=path)


def attach_at(mount: Slot, parent: Slot, above: str, name: str, *, passes: Passes = ()) -> Call:
    """At `name` below `parent`, which is `above`; a link at its end is not followed, one on the way is."""
    path = f"{above}/{name}"
    return call(
        "move_mount", mount, b"", parent, os.fsencode(name), mounts.FROM_EMPTY_PATH, passes=passes, path=path
    )


def folder(parent: Slot, name: str, path: str, *, keep: Slot) -> Program:
    """The O_PATH descriptor of a folder in one held open; made if it is missing, and no link is followed."""
    return (
        call("mkdirat", parent, os.fsencode(name), 0o755, passes=((errno.EEXIST, 0),), path=path),
        resolve(parent, name, _PLACE, keep=keep, links=False)._replace(path=path),
    )


def place(root: Slot, path: str, *, directory: bool, keep: Slot, other: Slot, links: bool = True) -> Program:
    """The O_PATH descriptor of a mount point below `root`; what is missing of it is made. `other` is used meanwhile.

    Safe in a hostile root: each part is resolved in the root, and mkdirat/openat(O_EXCL) work on
    one name in a directory already held open, where they follow no link. A dangling link is an error: the name
    exists, so nothing is made.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts:
        return (resolve(root, "/", _PLACE, keep=keep),)
    program: Program = ()
    for at, part in enumerate(parts):
        left = len(parts) - 1 - at
        here, above = (keep, other) if left % 2 == 0 else (other, keep)
        done = "/" + "/".join(parts[: at + 1])
        folder = directory or left > 0
        flags = _PLACE if folder else os.O_PATH
        made = (
            *_create(above if at else root, part, done, directory=folder),
            resolve(root, done, flags, keep=here, links=links),
        )
        found = resolve(root, done, flags, keep=here, links=links, passes=((errno.ENOENT, 1),))
        program += (found, jump(len(made)), *made, *(close(above) if at else ()))
    # A file may not be mounted on a folder; to write to one is refused with the same words.
    unless_file = call("openat", keep, b".", os.O_WRONLY, 0, passes=((errno.ENOTDIR, 0),), path=path)
    return program if directory else (*program, unless_file)


def _create(parent: Slot, name: str, path: str, *, directory: bool) -> Program:
    if directory:
        return (call("mkdirat", parent, os.fsencode(name), 0o755, path=path, told="mkdir"),)
    return new_file(parent, name, 0o644, keep=_CREATED, path=path) + close(_CREATED)


def new_file(parent: Slot, name: str, mode: int, *, keep: Slot, path: str = "") -> Program:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    return (call("openat", parent, os.fsencode(name), flags, mode, keep=keep, path=path, told="open"),)


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


def prctl(option: int, *arguments: int, told: str, expected: int = -1, passes: Passes = ()) -> Call:
    return call("prctl", option, *arguments, expected=expected, passes=passes, told=told)


def seccomp_filter(program: bytes) -> Call:
    """Under the filter for good, above those that are there: an array of struct sock_filter (seccomp(2)).

    Needs no_new_privs or CAP_SYS_ADMIN, else EACCES. Nothing is asked of the kernel afterwards: that the
    call succeeded *is* its word, and the filter may answer any further call with an end of the process.
    """
    count, rest = divmod(len(program), _INSTRUCTION)
    if rest or not 0 < count <= _LONGEST_FILTER:  # its length is told to the kernel in 16 bits
        raise KernelError("seccomp", errno.EINVAL, f"{len(program)} bytes")
    return call("seccomp", 1, 0, Words((count, program)), path=f"{count} instructions")


def rlimit(number: int, soft: int, hard: int, path: str) -> Call:
    """-1 is unlimited (prlimit(2))."""
    unsigned = (1 << 64) - 1
    limits = struct.pack("2Q", soft & unsigned, hard & unsigned)
    return call("prlimit64", 0, number, limits, None, path=path, told="setrlimit")
