"""The steps that make a container's own /dev: the usual nodes, the declared ones, nothing else. As programs.

The file system is held open, so what is made in it needs no path through the root directory (CVE-2025-52565).
"""

import errno
import os
import stat

from supervisor.errors import KernelError
from supervisor.helper.root import show_tree
from supervisor.helper.slots import DEV, PARENT, PLACE
from supervisor.helper.world import Site
from supervisor.kernel import calls, mounts
from supervisor.kernel.program import Program, call

_ANYBODY = 0o666


def node(_: Site, name: str, major: int, minor: int) -> Program:
    path = f"/dev/{name}"
    made = os.makedev(major, minor)
    return (
        call("mknodat", DEV, name.encode(), stat.S_IFCHR | _ANYBODY, made, path=path),
        call("fchmodat", DEV, name.encode(), _ANYBODY, path=path),
    )


def show_node(_: Site, name: str, _major: int, _minor: int) -> Program:
    return show_tree(f"/dev/{name}", f"/dev/{name}", mounts.NOSUID | mounts.NOEXEC)


def link(_: Site, name: str, target: str) -> Program:
    return (call("symlinkat", target.encode(), DEV, name.encode(), path=f"/dev/{name}"),)


def device(site: Site, path: str, kind: int, number: int) -> Program:
    """Safe: root declared it, and this /dev is the container's alone: whoever is in it may use it."""
    if site.rootless:
        return show_tree(path, path, mounts.NOSUID | mounts.NOEXEC)
    folder, name = os.path.split(path.removeprefix("/dev/"))
    return (
        *calls.place(DEV, folder, directory=True, keep=PLACE, other=PARENT, links=False),
        call("mknodat", PLACE, os.fsencode(name), kind | _ANYBODY, number, path=path),
        call("fchmodat", PLACE, os.fsencode(name), _ANYBODY, path=path),
        *calls.close(PLACE),
    )


def look_at(path: str) -> tuple[str, int, int]:
    """The machine's device as `device` takes it: path, kind (S_IFCHR or S_IFBLK), number. Raises KernelError."""
    try:
        seen = os.stat(path)
    except OSError as error:
        raise KernelError("device", error.errno or 0, path) from None
    if not (stat.S_ISCHR(seen.st_mode) or stat.S_ISBLK(seen.st_mode)):
        raise KernelError("device", errno.ENODEV, path)
    return path, stat.S_IFMT(seen.st_mode), seen.st_rdev
