"""The operations that make `rootfs = "host"`: a read-only view of this machine, and folders of its own.

As in helper.build: a forked child, the host's root privileges, descriptors below the new root.
"""

import errno
import os

from supervisor.errors import KernelError
from supervisor.helper.build import show_tree
from supervisor.helper.workplace import Workplace
from supervisor.kernel import mounts


def own(work: Workplace, path: str, mode: int) -> None:
    os.mkdir(path[1:], dir_fd=work.root)
    os.chmod(path[1:], mode, dir_fd=work.root)


def show(work: Workplace, path: str) -> None:
    """A read-only view of a folder of the machine; a link (/bin → usr/bin) stays a link. One that
    the machine does not have, the container does not have either. Ids are not mapped: what only the
    machine's root may read, a container's root may not.
    """
    try:
        target = os.readlink(path[1:], dir_fd=work.host)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EINVAL:  # which says that it is no link
            raise
        show_tree(work, path, path, mounts.RDONLY | mounts.NOSUID | mounts.NODEV)
    else:
        os.symlink(target, path[1:], dir_fd=work.root)


def copy(work: Workplace, path: str) -> None:
    """Safe: only files named in HOST_FILES, each readable by every user of the machine."""
    try:
        source = work.on_host(path, os.O_RDONLY)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.EACCES):
            return
        raise
    with os.fdopen(source, "rb") as file:
        content = file.read()
    folder = mounts.make_place(work.root, os.path.dirname(path), directory=True)
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
    target = os.open(os.path.basename(path), flags, 0o644, dir_fd=folder)
    os.write(target, content)
    os.close(target)
    os.close(folder)
