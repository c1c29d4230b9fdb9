"""Words of mounts, and paths in roots that may be hostile.

A path is resolved below a root with openat2 RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS: a symbolic link can lead elsewhere
in the root, never out of it. Sources: mount_setattr(2), openat2(2), Documentation/filesystems/mount_api.rst.
"""

#: Words of mount(8) → MOUNT_ATTR_ bits set or cleared (include/uapi/linux/mount.h).
RDONLY, NOSUID, NODEV, NOEXEC = 0x1, 0x2, 0x4, 0x8
SET = {"ro": RDONLY, "nosuid": NOSUID, "nodev": NODEV, "noexec": NOEXEC}
CLEAR = {"rw": RDONLY, "suid": NOSUID, "dev": NODEV, "exec": NOEXEC}

PRIVATE, DETACH = 0x4000 | 1 << 18, 2  # MS_REC | MS_PRIVATE, MNT_DETACH
FROM_EMPTY_PATH = 0x4  # MOVE_MOUNT_F_EMPTY_PATH
BOTH_EMPTY_PATH = FROM_EMPTY_PATH | 0x40  # MOVE_MOUNT_T_EMPTY_PATH
_IN_ROOT = 0x10 | 0x02  # RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
_NO_SYMLINKS = 0x04
IDMAP = 0x00100000


def within(*, links: bool = True) -> int:
    """How openat2 is to resolve a path in a root that may be hostile: following no magic link and, unless
    `links`, no link at all.
    """
    return _IN_ROOT | (0 if links else _NO_SYMLINKS)


def root_can_be_left() -> bool:
    """Whether / is a mount that pivot_root(2) can leave: it is none in a chroot, and cannot be left on an initramfs."""
    return _root_is_a_mount() and not on_initramfs()


def _root_is_a_mount() -> bool:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return any(line.split(" ")[4] == "/" for line in lines)


def on_initramfs() -> bool:
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        return any(line.split(" ")[4] == "/" and " - rootfs " in line for line in lines)
