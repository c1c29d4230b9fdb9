"""The operations that make a container's own /dev: the usual nodes, the declared ones, nothing else.

As in helper.build: a forked child, the host's root privileges. The file system is held open, so what
is made in it needs no path through the root directory (CVE-2025-52565).
"""

import errno
import os
import stat

from supervisor.errors import KernelError
from supervisor.helper.build import show_tree
from supervisor.helper.workplace import Workplace
from supervisor.kernel import mounts


def show_node(work: Workplace, name: str, _major: int, _minor: int) -> None:
    show_tree(work, f"/dev/{name}", f"/dev/{name}", mounts.NOSUID | mounts.NOEXEC)


def device(work: Workplace, path: str) -> None:
    """Safe: root declared it, and this /dev is the container's alone: whoever is in it may use it."""
    source = work.on_host(path)
    seen = os.fstat(source)
    os.close(source)
    if not (stat.S_ISCHR(seen.st_mode) or stat.S_ISBLK(seen.st_mode)):
        raise KernelError("device", errno.ENODEV, path)
    if work.rootless:
        show_tree(work, path, path, mounts.NOSUID | mounts.NOEXEC)
        return
    name = path.removeprefix("/dev/")
    parent = mounts.make_place(work.dev, os.path.dirname(name), directory=True, links=False)
    os.mknod(os.path.basename(name), stat.S_IFMT(seen.st_mode) | 0o666, seen.st_rdev, dir_fd=parent)
    os.chmod(os.path.basename(name), 0o666, dir_fd=parent)
    os.close(parent)
