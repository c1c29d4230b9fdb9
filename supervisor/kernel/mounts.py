"""Mounts by descriptor: nothing here takes a path that a container could have planted.

A mount is made detached (open_tree, fsopen), given its attributes, and only then attached to a
place that was resolved below the new root with openat2 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS:
a symbolic link in the root can lead elsewhere in the root, never out of it.
Sources: mount_setattr(2), openat2(2), Documentation/filesystems/mount_api.rst.
"""

import errno
import os
import stat

from supervisor.errors import KernelError
from supervisor.kernel import libc

#: Words of mount(8) → MOUNT_ATTR_ bits set or cleared (include/uapi/linux/mount.h).
RDONLY, NOSUID, NODEV, NOEXEC = 0x1, 0x2, 0x4, 0x8
SET = {"ro": RDONLY, "nosuid": NOSUID, "nodev": NODEV, "noexec": NOEXEC}
CLEAR = {"rw": RDONLY, "suid": NOSUID, "dev": NODEV, "exec": NOEXEC}

PRIVATE, DETACH = 0x4000 | 1 << 18, 2  # MS_REC | MS_PRIVATE, MNT_DETACH
_OPEN_TREE_CLONE = 1
_CLONE_NEWNS = 0x00020000
BOTH_EMPTY_PATH = 0x4 | 0x40  # MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
_SET_FLAG, _SET_STRING, _CREATE = 0, 1, 6
_IN_ROOT = 0x10 | 0x02  # RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_NO_SYMLINKS = 0x04
IDMAP = 0x00100000
_ATTEMPTS = 256


def make_private() -> None:
    """No mount made from here on is seen outside this mount namespace, nor the other way.

    In a chroot / is no mount, so its propagation cannot be changed (nor could pivot_root leave it).
    Entering one's own mount namespace again leads to its real root (setns(2)); whoever needs
    paths of the chroot has opened its / before.
    """
    try:
        libc.mount_propagation("/", PRIVATE)
    except KernelError as error:
        if error.errno != errno.EINVAL:
            raise
        own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        libc.setns(own, _CLONE_NEWNS)
        os.close(own)
        libc.mount_propagation("/", PRIVATE)


def filesystem(fstype: str, options: tuple[tuple[str, str], ...], attributes: int) -> int:
    """A new, detached file system; `options` as in mount(8) -o, "" for a bare word."""
    context = libc.fsopen(fstype)
    try:
        for key, value in options:
            libc.fsconfig(context, _SET_STRING if value else _SET_FLAG, key, value or None)
        libc.fsconfig(context, _CREATE, None, None)
        return libc.fsmount(context, attributes)
    except KernelError as error:
        raise KernelError(error.call, error.errno, f"{fstype} {error.path}".strip()) from None
    finally:
        os.close(context)


def clone(place: int, *, recursive: bool) -> int:
    """A detached copy of the mount tree at `place`: the source of a bind mount."""
    flags = _OPEN_TREE_CLONE | libc.AT_EMPTY_PATH | (libc.AT_RECURSIVE if recursive else 0)
    return libc.open_tree(place, "", flags)


def set_attributes(mount: int, added: int, removed: int = 0, *, recursive: bool = True) -> None:
    libc.mount_setattr(mount, libc.AT_RECURSIVE if recursive else 0, added, removed)


def map_ids(mount: int, userns: int, path: str) -> None:
    """Show the files of a detached mount with their owners' ids as `userns` maps them: 0 on the disk is
    root there. Raises KernelError("idmap") where the file system cannot (mount_setattr(2)).
    """
    try:
        libc.mount_setattr(mount, libc.AT_RECURSIVE, IDMAP, 0, path, userns=userns)
    except KernelError as error:
        raise KernelError("idmap", error.errno, path) from None


def attach(mount: int, target: int, path: str) -> None:
    libc.move_mount(mount, target, BOTH_EMPTY_PATH, path)


def resolve(root: int, path: str, flags: int = os.O_PATH, *, links: bool = True) -> int:
    """Open `path` as if `root` were /; see `within`.

    Any mount or rename on the machine while ".." is resolved makes the kernel answer EAGAIN, since it
    cannot tell whether that led out of the root (openat2(2)); it is asked again, but not for ever.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return libc.openat2(root, path.lstrip("/") or ".", flags, within(links=links))
        except KernelError as error:
            if error.errno != errno.EAGAIN or attempt == _ATTEMPTS - 1:
                raise KernelError(error.call, error.errno, path) from None
    raise AssertionError("unreachable")


def within(*, links: bool = True) -> int:
    """How openat2 is to resolve a path in a root that may be hostile: following no magic link and, unless
    `links`, no link at all.
    """
    return _IN_ROOT | (0 if links else _NO_SYMLINKS)


def make_place(root: int, path: str, *, directory: bool, links: bool = True) -> int:
    """The O_PATH descriptor of a mount point below `root`; what is missing of it is made.

    Safe in a hostile root: each part is resolved in the root, and mkdirat/openat(O_EXCL) work on
    one name in a directory already held open, where they follow no link.
    """
    here, done = os.dup(root), ""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    for index, part in enumerate(parts):
        done += "/" + part
        try:
            there = resolve(root, done, links=links)
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise
            _create(here, part, done, directory=directory or index < len(parts) - 1)
            there = resolve(root, done, links=links)
        os.close(here)
        here = there
    if stat.S_ISDIR(os.fstat(here).st_mode) != directory:
        raise KernelError("mount", errno.ENOTDIR if directory else errno.EISDIR, path)
    return here


def _create(parent: int, name: str, path: str, *, directory: bool) -> None:
    try:
        if directory:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
    except OSError as error:
        # A dangling link: the name exists, so nothing was made and nothing was followed.
        raise KernelError("mkdir" if directory else "open", error.errno or 0, path) from None


def enter(root: int) -> None:
    """Make the mount behind `root` the root of this mount namespace and let go of the old one.

    pivot_root(".", ".") stacks the old root on the new, so it needs no folder in the new root
    (pivot_root(2), NOTES). On an initramfs it fails with EINVAL; there the new root is moved
    over / and chroot does the rest, as switch_root(8) does.
    """
    os.fchdir(root)
    try:
        libc.pivot_root(".", ".")
    except KernelError as error:
        if error.errno != errno.EINVAL or not _on_initramfs():
            raise
        over = os.open("/", os.O_PATH | os.O_CLOEXEC)
        libc.move_mount(root, over, BOTH_EMPTY_PATH, "/")
        os.chroot(".")
    else:
        libc.umount2(".", DETACH)
    os.chdir("/")


def follow() -> None:
    """After another process of this mount namespace has called `enter`: stand in its root too.

    pivot_root(2) takes along whoever stood in the old root. On an initramfs the new root lies over
    ours, and ".." at the top leads to the topmost mount there.
    """
    os.chroot("/..")
    os.chdir("/")


def root_can_be_left() -> bool:
    """Whether / is a mount that pivot_root(2) can leave: it is none in a chroot, and cannot be left on an initramfs."""
    return _root_is_a_mount() and not _on_initramfs()


def _root_is_a_mount() -> bool:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return any(line.split(" ")[4] == "/" for line in lines)


def _on_initramfs() -> bool:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return any(line.split(" ")[4] == "/" and " - rootfs " in line for line in lines)
