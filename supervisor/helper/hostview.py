"""The steps that make `rootfs = "host"`: a read-only view of this machine, and folders of its own. As programs; what is
there is looked at by the launch itself.
"""

import errno
import os

from supervisor.helper.root import show_tree
from supervisor.helper.slots import HOST, OTHER, PARENT, PLACE, ROOT, TEXT, TREE
from supervisor.helper.world import Site
from supervisor.kernel import calls, mounts
from supervisor.kernel.calls import close, resolve
from supervisor.kernel.program import At, Program, call, jump

_MOST = 0x7FFFF000  # bytes that sendfile(2) copies at once
_PATH_MAX = 4096


def own(_: Site, path: str, mode: int) -> Program:
    name = os.fsencode(path[1:])
    return (
        call("mkdirat", ROOT, name, mode, path=path),
        call("fchmodat", ROOT, name, mode, path=path),
    )


def show(_: Site, path: str, at: int) -> Program:
    """A read-only view of a folder of the machine; a link (/bin → usr/bin) stays a link. One that
    the machine does not have, the container does not have either. Ids are not mapped: what only the
    machine's root may read, a container's root may not. `at` numbers the room for what a link says: it is empty before.
    """
    tree = show_tree(path, path, mounts.RDONLY | mounts.NOSUID | mounts.NODEV)
    name, target = os.fsencode(path[1:]), At(TEXT + _PATH_MAX * at)
    # EINVAL says that it is no link.
    not_a_link = ((errno.EINVAL, 2), (errno.ENOENT, 2 + len(tree)))
    return (
        call("readlinkat", HOST, name, target, _PATH_MAX - 1, passes=not_a_link, path=path),
        call("symlinkat", target, ROOT, name, path=path),
        jump(len(tree)),
        *tree,
    )


def copy(_: Site, path: str) -> Program:
    """Safe: only files named in HOST_FILES, each readable by every user of the machine."""
    folder, name = os.path.split(path)
    copied = (
        *calls.place(ROOT, folder, directory=True, keep=PLACE, other=PARENT),
        *calls.new_file(PLACE, name, 0o644, keep=TREE, path=path),
        call("sendfile", TREE, OTHER, None, _MOST, path=path),
        *close(OTHER, PLACE, TREE),
    )
    absent = ((errno.ENOENT, len(copied)), (errno.EACCES, len(copied)))
    return (resolve(HOST, path, os.O_RDONLY, keep=OTHER, passes=absent), *copied)
