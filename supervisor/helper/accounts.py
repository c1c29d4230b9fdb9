"""User and group names as the container's own root directory defines them (passwd(5), group(5)).

Read after the root has changed, by plain parsing: no NSS library of the container is ever loaded
into a process that still has privileges (CVE-2019-14271), and no name falls back to uid 0.
"""

import errno
import os
import stat
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.kernel.calls import resolve
from supervisor.kernel.program import Slot, pack, run, slots

_ROOT, _FILE = Slot(1), Slot(2)
_MISSING = ((errno.ENOENT, 0), (errno.ENOTDIR, 0))
_OPEN = {
    path: pack(
        (resolve(_ROOT, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY, keep=_FILE, passes=_MISSING),)
    )
    for path in ("/etc/passwd", "/etc/group")
}
_MAX_FILE = 1 << 20
_MAX_ID = (1 << 32) - 2


class Account(NamedTuple):
    """`groups` is the exact supplementary list, the primary gid included (CVE-2022-2989)."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def look_up(root: int, user: str, groups: tuple[str, ...]) -> Account:
    """`user` is "uid", "uid:gid", "name" or "name:group"; raises KernelError(ENOENT) naming what is unknown."""
    name, _, group = user.partition(":")
    entry = _entry(root, "/etc/passwd", name, 7)
    if not entry and not _is_id(name):
        raise KernelError("user", errno.ENOENT, f"{name} in /etc/passwd")
    uid = int(entry[2]) if entry else int(name)
    gid = _gid(root, group) if group else int(entry[3]) if entry else 0
    extra = tuple(_gid(root, one) for one in groups)
    home = os.fsdecode(entry[5]) if entry and entry[5].startswith(b"/") else "/"
    return Account(uid, gid, tuple(sorted({gid, *extra})), home)


def _gid(root: int, group: str) -> int:
    if _is_id(group):
        return int(group)
    entry = _entry(root, "/etc/group", group, 4)
    if not entry:
        raise KernelError("group", errno.ENOENT, f"{group} in /etc/group")
    return int(entry[2])


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) <= _MAX_ID


def _entry(root: int, path: str, key: str, fields: int) -> list[bytes] | None:
    """The line whose name is `key` or, if `key` is a number, whose id is; None without one."""
    content = _read(root, path)
    if not content:
        return None
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
    found = slots(2)
    found[_ROOT] = root
    run(_OPEN[path], found)
    file = found[_FILE]
    if file < 0:
        return b""
    try:
        return os.read(file, _MAX_FILE) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    finally:
        os.close(file)
