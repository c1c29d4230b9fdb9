"""User and group names as the container's own root directory defines them (passwd(5), group(5)).

Read after the root has changed, by plain parsing: no NSS library of the container is ever loaded
into a process that still has privileges (CVE-2019-14271), and no name falls back to uid 0.

A launch's process reads the files, since they may be anything; what they say is worked out by the helper, once: a launch
that finds the same files again need not ask.
"""

import errno
import os
import stat
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.helper.slots import (
    ASKED,
    GROUP,
    GROUP_SIZE,
    LARGEST_FILE,
    OTHER,
    PARENT,
    PASSWD,
    PASSWD_SIZE,
    TREE,
)
from supervisor.kernel import calls, libc, zygote
from supervisor.kernel.calls import close, resolve
from supervisor.kernel.program import At, Passes, Program, Slot, call, compare, jump, move, run, slots

_MISSING = ((errno.ENOENT, 0), (errno.ENOTDIR, 0))
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
_MAX_ID = (1 << 32) - 2
_QUESTION = int.from_bytes(b"account\0", "little")
_NOSIGNAL = 0x4000
#: Where in the file of its program a launch puts what it has read, and finds how it goes on.
PASSWD_AT, GROUP_AT, ANSWER_AT = 16 << 20, 18 << 20, 32 << 20
ANSWER = b"!"  # that it is there


class Account(NamedTuple):
    """`groups` is the exact supplementary list, the primary gid included (CVE-2022-2989)."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


class Files(NamedTuple):
    """What /etc/passwd and /etc/group hold; b"" without one, and where it is not needed."""

    passwd: bytes
    group: bytes


def look_up(root: int, user: str, groups: tuple[str, ...]) -> Account:
    """As `find`, of the root directory behind a descriptor. Raises OSError too."""
    group = _read(root, "/etc/group") if needs_groups(user, groups) else b""
    return find(Files(_read(root, "/etc/passwd"), group), user, groups)


def find(files: Files, user: str, groups: tuple[str, ...]) -> Account:
    """`user` is "uid", "uid:gid", "name" or "name:group"; raises KernelError(ENOENT) naming what is unknown."""
    name, _, group = user.partition(":")
    entry = _entry(files.passwd, name, 7)
    if not entry and not _is_id(name):
        raise KernelError("user", errno.ENOENT, f"{name} in /etc/passwd")
    uid = int(entry[2]) if entry else int(name)
    gid = _gid(files.group, group) if group else int(entry[3]) if entry else 0
    extra = tuple(_gid(files.group, one) for one in groups)
    home = os.fsdecode(entry[5]) if entry and entry[5].startswith(b"/") else "/"
    return Account(uid, gid, tuple(sorted({gid, *extra})), home)


def needs_groups(user: str, groups: tuple[str, ...]) -> bool:
    return not all(map(_is_id, (user.partition(":")[2] or "0", *groups)))


def _gid(content: bytes, group: str) -> int:
    if _is_id(group):
        return int(group)
    entry = _entry(content, group, 4)
    if not entry:
        raise KernelError("group", errno.ENOENT, f"{group} in /etc/group")
    return int(entry[2])


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= _MAX_ID


def _entry(content: bytes, key: str, fields: int) -> list[bytes] | None:
    """The line whose name is `key` or, if `key` is a number, whose id is; None without one."""
    wanted = os.fsencode(key)
    for line in content.split(b"\n"):
        entry = line.split(b":")
        sound = len(entry) == fields and all(_is_id(os.fsdecode(one)) for one in entry[2 : fields - 3])
        if sound and wanted in ((entry[2],) if _is_id(key) else (entry[0],)):
            return entry
    return None


def _read(root: int, path: str) -> bytes:
    """The file, if it is a plain one of sane size; a root directory may hold a FIFO or a device there.

    Only a file that is not there is the same as an empty one: without the line that was meant, a user
    given as a number would get the group 0.
    """
    found = slots(TREE)
    found[TREE] = root
    run((resolve(TREE, path, _READ, keep=PARENT, passes=_MISSING),), found)
    file = found[PARENT]
    if file < 0:
        return b""
    try:
        return os.read(file, LARGEST_FILE) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)


# ── as a step of a launch ──────────────────────────────────────────────────────────────


def account(user: str, groups: tuple[str, ...], known: Files | None) -> Program:
    """Go on if the files are those that are `known`, else ask. Only a file that is not there is the same as an empty one:
    without the line that was meant, a user given as a number would get the group 0.
    """
    both = needs_groups(user, groups)
    return (
        calls.open_path("/", os.O_PATH | os.O_DIRECTORY, keep=TREE),
        *_reading("/etc/passwd", PASSWD, PASSWD_SIZE),
        *(_reading("/etc/group", GROUP, GROUP_SIZE) if both else ()),
        *close(TREE),
        *(_unless_known(known) if known else ()),
        *_ASKING,
    )


def _reading(path: str, where: int, size: Slot) -> Program:
    """A root directory may hold a FIFO, a folder or a device there: nothing is waited for, and a folder is empty."""
    nothing: Passes = ((errno.EISDIR, 1), (errno.EAGAIN, 1))
    read = (
        call("read", OTHER, At(where), LARGEST_FILE, passes=nothing, keep=ASKED, path=path),
        move(ASKED, size),
        *close(OTHER),
    )
    missing = ((errno.ENOENT, len(read)), (errno.ENOTDIR, len(read)))
    return (resolve(TREE, path, _READ, keep=OTHER, passes=missing), *read)


def _unless_known(known: Files) -> Program:
    checks = (
        (At(8 * PASSWD_SIZE), libc.words(len(known.passwd)), 8),
        (At(PASSWD), known.passwd, len(known.passwd)),
        (At(8 * GROUP_SIZE), libc.words(len(known.group)), 8),
        (At(GROUP), known.group, len(known.group)),
    )
    return (
        *(
            compare(*check, passes=((errno.EPERM, len(checks) - at),), path="/etc/passwd")
            for at, check in enumerate(checks)
        ),
        jump(len(_ASKING)),
    )


_ASKING = (
    call("pwrite64", zygote.IMAGE, At(PASSWD), PASSWD_SIZE, PASSWD_AT, expected=PASSWD_SIZE, path="/etc/passwd"),
    call("pwrite64", zygote.IMAGE, At(GROUP), GROUP_SIZE, GROUP_AT, expected=GROUP_SIZE, path="/etc/group"),
    call("jump", _QUESTION, 0, keep=ASKED),
    call("sendto", zygote.REPORT, At(8 * ASKED), 24, _NOSIGNAL, None, 0, path="report", told="send"),
    call("recvfrom", zygote.REPORT, At(8 * OTHER), 1, 0, None, None, expected=1, path="report", told="recv"),
    call("again", ANSWER_AT),
)  # fmt: skip


def asked(words: bytes, file: int) -> Files | None:
    """What a launch has read, if that is what it says; `file` is that of its program. Raises OSError."""
    if len(words) != 24 or int.from_bytes(words[:8], "little") != _QUESTION:
        return None
    sizes = (int.from_bytes(words[at : at + 8], "little") for at in (8, 16))
    return Files(*(os.pread(file, size, at) for size, at in zip(sizes, (PASSWD_AT, GROUP_AT), strict=True)))
