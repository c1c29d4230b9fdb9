"""The steps that build a container's root, out of its sight, up to the moment it is entered. As programs.

The contents of the root directory, and what other containers can write of it, are hostile: they are reached by
descriptor only, resolved below the new root.
"""

import errno
import os

from supervisor.helper.slots import (
    DEV,
    FILE,
    FOLDER,
    HOST,
    OTHER,
    PARENT,
    PLACE,
    PROC,
    ROOT,
    SHIFTED,
    STAT,
    SYS,
    TREE,
)
from supervisor.helper.world import Site
from supervisor.kernel import calls, libc, mounts
from supervisor.kernel.calls import (
    attach,
    attach_at,
    clone,
    close,
    filesystem,
    folder,
    resolve,
    set_attributes,
)
from supervisor.kernel.program import At, Program, Slot, call, jump

_TEMPORARY = mounts.NOSUID | mounts.NOEXEC
_KERNEL = {"/proc": PROC, "/sys": SYS}
_DIRECTORY = os.O_PATH | os.O_DIRECTORY
#: Where an overlay finds its layers: by descriptor, since a path may hold ":" or ",", or change under us.
_LOWER, _UPPER = 40, 41
_STATX = 0x2 | 0x8 | 0x10  # STATX_MODE | STATX_UID | STATX_GID


def masks(site: Site) -> Program:
    """An empty folder and an empty file, read-only: what masked paths show. Nothing of the root
    directory is their source, so no link planted in it can become one (CVE-2025-31133).
    """
    options = (("mode", "555"), ("nr_inodes", "3"))
    flags = os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC
    return (
        *filesystem("tmpfs", options, mounts.NODEV, context=OTHER, keep=TREE),
        call("mkdirat", TREE, b"folder", 0o555),
        call("openat", TREE, b"folder", os.O_PATH | os.O_CLOEXEC, 0, keep=FOLDER),
        call("openat", TREE, b"file", flags, 0o444, keep=FILE),
        set_attributes(TREE, mounts.RDONLY | mounts.NOSUID | mounts.NOEXEC),
        *_over_mountpoint(site, TREE),
        *close(TREE),
    )


def _over_mountpoint(site: Site, tree: Slot) -> Program:
    """On top of whatever is there already: only descriptors lead below the topmost."""
    return (
        resolve(HOST, site.mountpoint, os.O_PATH, keep=PLACE),
        attach(tree, PLACE, site.mountpoint),
        *close(PLACE),
    )


def _copy_of(site: Site, path: str, *, keep: Slot, recursive: bool) -> Program:
    """A folder of the host's, with its owners as the container counts ids."""
    return (
        resolve(HOST, path, _DIRECTORY, keep=PLACE),
        clone(PLACE, recursive=recursive, keep=keep, path=path),
        *close(PLACE),
        *_mapped(site, keep, path),
    )


def _mapped(site: Site, tree: Slot, path: str) -> Program:
    return (calls.map_ids(tree, site.userns, path),) if site.ids >= 0 else ()


# ── the root directory ─────────────────────────────────────────────────────────────────


def bind_root(site: Site, path: str, attributes: int) -> Program:
    return (
        *_copy_of(site, path, keep=ROOT, recursive=True),
        set_attributes(ROOT, attributes | mounts.NODEV),
        *_over_mountpoint(site, ROOT),
    )


def tmpfs_root(site: Site) -> Program:
    attributes = mounts.NOSUID | mounts.NODEV
    return (
        *filesystem("tmpfs", (("mode", "755"),), attributes, context=OTHER, keep=ROOT),
        *_over_mountpoint(site, ROOT),
    )


def overlay_root(site: Site, lower: str, layer: str) -> Program:
    """`layer` "": a tmpfs of the container's own holds the writable layer. It counts as the container's
    memory, and ends with the mount namespace, so that nothing has to be deleted afterwards. Else a folder
    that only root may enter: what is setuid in it is reachable through the container alone.
    """
    if layer:
        upper = _copy_of(site, layer, keep=TREE, recursive=False)
    else:
        upper = filesystem("tmpfs", (("mode", "755"),), mounts.NODEV, context=OTHER, keep=TREE)
    options = (
        ("lowerdir", f"/proc/self/fd/{_LOWER}"),
        ("upperdir", f"/proc/self/fd/{_UPPER}/upper"),
        ("workdir", f"/proc/self/fd/{_UPPER}/work"),
        *((("userxattr", ""),) if site.rootless else ()),
    )
    return (
        *upper,
        *_over_mountpoint(site, TREE),
        *_copy_of(site, lower, keep=OTHER, recursive=False),
        *_make_layer(TREE, OTHER),
        call("dup3", OTHER, _LOWER, os.O_CLOEXEC),
        call("dup3", TREE, _UPPER, os.O_CLOEXEC),
        *close(OTHER, TREE),
        *filesystem("overlay", options, mounts.NODEV, context=OTHER, keep=ROOT),
        call("close", _LOWER),
        call("close", _UPPER),
        *_over_mountpoint(site, ROOT),
    )


def _make_layer(upper: Slot, lower: Slot) -> Program:
    """The root of the merged view takes its owner and mode from the upper layer's root. What is there already is of a run
    before, in a layer that is kept.

    A struct statx (statx(2)) has the uid, the gid and the mode in bytes 20, 24 and 28; an argument is a whole
    word, of which the kernel takes as much as it needs, from its beginning.
    """
    gid, uid, mode = Slot(STAT + 3), Slot(SHIFTED + 3), Slot(SHIFTED + 4)
    exists = ((errno.EEXIST, 2),)
    return (
        call("statx", lower, b"", libc.AT_EMPTY_PATH, _STATX, At(8 * STAT)),
        call("statx", lower, b"", libc.AT_EMPTY_PATH, _STATX, At(8 * SHIFTED + 4)),
        call("mkdirat", upper, b"upper", 0o755, passes=exists),
        call("fchmodat", upper, b"upper", mode),
        call("fchownat", upper, b"upper", uid, gid, 0),
        call("mkdirat", upper, b"work", 0o755, passes=((errno.EEXIST, 0),)),
    )


def no_setuid(_: Site) -> Program:
    """With no_new_privs set-user-ID bits do nothing anyway; this says so to whoever looks."""
    return (set_attributes(ROOT, mounts.NOSUID, recursive=False),)


def seal(_: Site) -> Program:
    """The root itself becomes read-only, what is mounted below it stays as declared."""
    return (set_attributes(ROOT, mounts.RDONLY, recursive=False),)


# ── the kernel's own file systems ──────────────────────────────────────────────────────


def mount_kernel(_: Site, fstype: str, target: str, attributes: int) -> Program:
    """/proc and /sys are refused as links, and held open: what is done below them later must reach the
    kernel, not what the root directory's author puts in their place (CVE-2019-19921).
    """
    return _mount(fstype, (), attributes, ROOT, target, keep=_KERNEL[target])


def dev(_: Site) -> Program:
    """A /dev of the container's own, held open: what is made in it needs no path through the root
    (CVE-2025-52565).
    """
    return _mount("tmpfs", (("mode", "755"), ("size", "64k")), _TEMPORARY, ROOT, "/dev", keep=DEV)


def mount_dev(
    _: Site, fstype: str, name: str, options: tuple[tuple[str, str], ...], attributes: int
) -> Program:
    return (*_mount(fstype, options, attributes, DEV, f"/dev/{name}", keep=TREE), *close(TREE))


def _mount(
    fstype: str, options: tuple[tuple[str, str], ...], attributes: int, parent: Slot, path: str, *, keep: Slot
) -> Program:
    return (
        *filesystem(fstype, options, attributes, context=OTHER, keep=keep),
        *folder(parent, os.path.basename(path), path, keep=PLACE),
        attach(keep, PLACE, path),
        *close(PLACE),
    )


def mask(_: Site, parent: str, names: tuple[str, ...]) -> Program:
    """Safe: `parent` is the file system that was mounted, whatever stands in its place by now. It is the kernel's own
    and nobody has seen it yet, so what is on the way to a name is the kernel's too; a link at its end is not followed.

    What this kernel does not have is passed over; whoever was to cover it covers the next one.
    """
    program: Program = ()
    folders = tuple(name.rstrip("/") for name in names if name.endswith("/"))
    files = tuple(name for name in names if not name.endswith("/"))
    for shown, covered in ((FOLDER, folders), (FILE, files)):
        if not covered:
            continue
        copy = clone(shown, recursive=False, keep=TREE)
        program += (copy,)
        for name in covered:
            cover = attach_at(TREE, _KERNEL[parent], parent, name, passes=((errno.ENOENT, 2),))
            program += (cover, *close(TREE), copy)
        program += close(TREE)
    return program


def protect(_: Site, parent: str, names: tuple[str, ...]) -> Program:
    """Read-only from here on, what is below it too; what this kernel does not have is passed over."""
    program: Program = ()
    for name in names:
        absent = ((errno.ENOENT, 5),)
        found = resolve(_KERNEL[parent], name, os.O_PATH, keep=PLACE, links=False, passes=absent)
        program += (
            found._replace(path=f"{parent}/{name}"),
            clone(PLACE, recursive=False, keep=TREE),
            set_attributes(TREE, mounts.RDONLY),
            attach(TREE, PLACE, f"{parent}/{name}"),
            *close(TREE, PLACE),
        )
    return program


# ── what is declared ───────────────────────────────────────────────────────────────────


def tmpfs(_: Site, target: str, options: tuple[tuple[str, str], ...], attributes: int) -> Program:
    return (
        *filesystem("tmpfs", options, attributes, context=OTHER, keep=TREE),
        *_place(target, directory=True),
        *_attach(target),
    )


def bind(site: Site, source: str, target: str, added: int, removed: int) -> Program:
    """Safe: root declared the source; its attributes are set before anyone can see it."""
    return show_tree(source, target, added, removed, _mapped(site, TREE, source))


def show_at(_: Site, source: str, target: str, added: int) -> Program:
    return show_tree(source, target, added)


def show_tree(source: str, target: str, added: int, removed: int = 0, mapped: Program = ()) -> Program:
    in_folder, in_file = (_place(target, directory=directory) for directory in (True, False))
    in_folder = (*close(OTHER), *in_folder, jump(len(in_file)))
    return (
        resolve(HOST, source, os.O_PATH, keep=OTHER),
        clone(OTHER, recursive=True, keep=TREE, path=source),
        *close(OTHER),
        *mapped,
        set_attributes(TREE, added, removed),
        # Whether it is a folder.
        call("openat", TREE, b".", _DIRECTORY | os.O_CLOEXEC, 0, keep=OTHER, passes=((errno.ENOTDIR, len(in_folder)),), path=source),
        *in_folder,
        *in_file,
        *_attach(target),
    )  # fmt: skip


def _place(target: str, *, directory: bool) -> Program:
    return calls.place(ROOT, target, directory=directory, keep=PLACE, other=PARENT)


def _attach(target: str) -> Program:
    return (attach(TREE, PLACE, target), *close(PLACE, TREE))


# ── the end of it ──────────────────────────────────────────────────────────────────────


def enter(site: Site) -> Program:
    """The mount behind ROOT becomes the root of this mount namespace, and the old one is let go of.

    pivot_root(".", ".") stacks the old root on the new, so it needs no folder in the new root
    (pivot_root(2), NOTES). On an initramfs it fails with EINVAL; there the new root is moved
    over / and chroot does the rest, as switch_root(8) does.
    """
    pivot = (call("pivot_root", b".", b".", path="."), call("umount2", b".", mounts.DETACH, path="."))
    switch = (
        calls.open_path("/", os.O_PATH, keep=OTHER),
        attach(ROOT, OTHER, "/"),
        call("chroot", b".", path="."),
        *close(OTHER),
    )
    return (
        call("fchdir", ROOT),
        *(switch if site.initramfs else pivot),
        call("chdir", b"/"),
        *close(HOST, FOLDER, FILE, PROC, SYS, DEV, ROOT),
    )
