"""The steps that are nothing but system calls, spelled out as programs before the fork: pure.

Each function gives the calls of one operation; why it is safe stands here as it does beside the others, in
helper.build, hostview, devices, confine and entry. The descriptors they pass on are the workplace's slots.
"""

import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import NamedTuple

from supervisor.helper.workplace import (
    DEV,
    ERR,
    FILE,
    FOLDER,
    GAPS,
    HOST,
    OTHER,
    OUT,
    PLACE,
    PROC,
    ROOT,
    SYS,
    TREE,
    USERNS,
)
from supervisor.kernel import calls, mounts, namespaces
from supervisor.kernel.calls import attach, clone, close, filesystem, folder, resolve, set_attributes
from supervisor.kernel.caps import NAMES
from supervisor.kernel.caps import mask as bits
from supervisor.kernel.process import RLIMITS
from supervisor.kernel.program import Call, Program, Slot, call, pack

_TEMPORARY = mounts.NOSUID | mounts.NOEXEC
_KERNEL = {"/proc": PROC, "/sys": SYS}
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 24, 38


class Site(NamedTuple):
    """What is the same for all launches of a container. `folders` are its v1 cgroups, `capabilities` what the helper
    has kept, `limits` the helper's own hard ones (-1: unlimited). `plain` is false where / is no mount that pivot_root could leave.
    """

    mountpoint: str
    folders: tuple[str, ...] = ()
    ids: int = -1
    capabilities: int = 0
    limits: tuple[tuple[str, int], ...] = ()
    plain: bool = True


# ── out of the container's sight ───────────────────────────────────────────────────────


def join(site: Site) -> Program:
    """Safe: the leaf's paths were built by root from the container's name. Its v2 cgroup we were born in.

    `tasks`, not cgroup.procs: "0" there, for a process of one thread, spares the kernel an RCU grace period.
    """
    program: Program = ()
    for one in site.folders:
        path = f"{one}/tasks"
        program += (
            calls.open_path(path, os.O_WRONLY, keep=OTHER),
            calls.write(OTHER, b"0", path),
            *close(OTHER),
        )
    return program


#: Nothing of the helper's reaches a container: not its descriptors or memory. By descriptors only: what is kept lies
#: between the gaps.
LET_GO = pack((
    calls.prctl(_PR_SET_DUMPABLE, 0, told="PR_SET_DUMPABLE"),
    calls.open_path("/dev/null", os.O_RDONLY, keep=OTHER),
    call("dup3", OTHER, 0, 0, passes=((errno.EINVAL, 0),)),
    call("dup3", OUT, 1, 0),
    call("dup3", ERR, 2, 0),
    *(call("close_range", low, high) for low, high in GAPS),
))  # fmt: skip


def unshare(names: tuple[str, ...]) -> Program:
    return (call("unshare", namespaces.flags_of(names) & ~namespaces.clone_flag(names)),)


def keyring() -> Program:
    """A session keyring without the keys of whoever started us; a kernel without keys has none to hide."""
    return (call("keyctl", 1, None, passes=((errno.ENOSYS, 0),), path="session keyring"),)


def private() -> Program:
    """Before any other mount: nothing of what follows reaches the host."""
    return (
        calls.open_path("/", os.O_PATH | os.O_DIRECTORY, keep=HOST),
        call("mount", None, b"/", None, mounts.PRIVATE, None, path="/"),
    )


def own_ids(site: Site) -> Program:
    """What is made from here on belongs to the container's root; the powers to make it stay: leaving user 0
    takes the file capabilities out of the effective set (capabilities(7)), so it is put back.
    """
    return (*calls.file_owner(site.ids), calls.capset(site.capabilities, site.capabilities))


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


def bind_root(site: Site, path: str, attributes: int) -> Program:
    return (
        resolve(HOST, path, os.O_PATH | os.O_DIRECTORY, keep=PLACE),
        clone(PLACE, recursive=True, keep=ROOT, path=path),
        *close(PLACE),
        *((calls.map_ids(ROOT, USERNS, path),) if site.ids >= 0 else ()),
        set_attributes(ROOT, attributes | mounts.NODEV),
        *_over_mountpoint(site, ROOT),
    )


def tmpfs_root(site: Site) -> Program:
    attributes = mounts.NOSUID | mounts.NODEV
    return (
        *filesystem("tmpfs", (("mode", "755"),), attributes, context=OTHER, keep=ROOT),
        *_over_mountpoint(site, ROOT),
    )


def no_setuid() -> Program:
    """With no_new_privs set-user-ID bits do nothing anyway; this says so to whoever looks."""
    return (set_attributes(ROOT, mounts.NOSUID, recursive=False),)


def seal() -> Program:
    """The root itself becomes read-only, what is mounted below it stays as declared."""
    return (set_attributes(ROOT, mounts.RDONLY, recursive=False),)


# ── the kernel's own file systems ──────────────────────────────────────────────────────


def mount_kernel(fstype: str, target: str, attributes: int) -> Program:
    """/proc and /sys are refused as links, and held open: what is done below them later must reach the
    kernel, not what the root directory's author puts in their place (CVE-2019-19921).
    """
    return _mount(fstype, (), attributes, ROOT, target, keep=_KERNEL[target])


def dev() -> Program:
    """A /dev of the container's own, held open: what is made in it needs no path through the root
    (CVE-2025-52565).
    """
    return _mount("tmpfs", (("mode", "755"), ("size", "64k")), _TEMPORARY, ROOT, "/dev", keep=DEV)


def mount_dev(fstype: str, name: str, options: tuple[tuple[str, str], ...], attributes: int) -> Program:
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


def mask(parent: str, names: tuple[str, ...]) -> Program:
    """Safe: `parent` is the file system that was mounted, whatever stands in its place by now, and no link
    below it is followed.
    """
    program: Program = ()
    for name in names:
        path, shown = f"{parent}/{name.rstrip('/')}", FOLDER if name.endswith("/") else FILE
        program += (
            _below(parent, name, absent=4),
            clone(shown, recursive=False, keep=TREE),
            attach(TREE, PLACE, path),
            *close(TREE, PLACE),
        )
    return program


def protect(parent: str, names: tuple[str, ...]) -> Program:
    """Read-only from here on, what is below it too."""
    program: Program = ()
    for name in names:
        program += (
            _below(parent, name, absent=5),
            clone(PLACE, recursive=False, keep=TREE),
            set_attributes(TREE, mounts.RDONLY),
            attach(TREE, PLACE, f"{parent}/{name}"),
            *close(TREE, PLACE),
        )
    return program


def _below(parent: str, name: str, *, absent: int) -> Call:
    """What this kernel does not have is passed over, with as many calls about it."""
    passes = ((errno.ENOENT, absent),)
    found = resolve(_KERNEL[parent], name, os.O_PATH, keep=PLACE, links=False, passes=passes)
    return found._replace(path=f"{parent}/{name}")


def node(name: str, major: int, minor: int) -> Program:
    return (
        call(
            "mknodat", DEV, name.encode(), stat.S_IFCHR | 0o666, os.makedev(major, minor), path=f"/dev/{name}"
        ),
        call("fchmodat", DEV, name.encode(), 0o666, path=f"/dev/{name}"),
    )


def link(name: str, target: str) -> Program:
    return (call("symlinkat", target.encode(), DEV, name.encode(), path=f"/dev/{name}"),)


# ── the rest of its world ──────────────────────────────────────────────────────────────


def hostname(_: Site, name: str) -> Program:
    return (call("sethostname", name.encode(), len(name.encode()), path=name),)


#: Bring lo up (netdevice(7)); low ports open to any user, since nobody else shares this network namespace.
LOOPBACK = pack((
    call("socket", 2, 2 | os.O_CLOEXEC, 0, keep=OTHER),
    call("ioctl", OTHER, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP), path="lo"),
    *close(OTHER),
    resolve(HOST, _PORTS, os.O_WRONLY, keep=OTHER),
    calls.write(OTHER, b"0", _PORTS),
    *close(OTHER),
))  # fmt: skip


def enter() -> Program:
    """As mounts.enter, where / can be left by pivot_root."""
    return (
        call("fchdir", ROOT),
        call("pivot_root", b".", b".", path="."),
        call("umount2", b".", mounts.DETACH, path="."),
        call("chdir", b"/"),
        *close(HOST, FOLDER, FILE, PROC, SYS),
    )


# ── in it ──────────────────────────────────────────────────────────────────────────────


def session() -> Program:
    """A session without a terminal, so that nothing can be typed into the operator's (TIOCSTI), and
    the container's own /dev/null as stdin.
    """
    return (
        call("setsid"),
        call("umask", 0o022),
        calls.open_path("/dev/null", os.O_RDONLY, keep=OTHER),
        call("dup3", OTHER, 0, 0),
        *close(OTHER),
    )


def rlimit(name: str, soft: int, hard: int) -> Program:
    return (calls.rlimit(RLIMITS[name], soft, hard, f"{name}={hard}"),)


def lower_rlimit(site: Site, name: str, soft: int, hard: int) -> Program:
    """A default: never more than we were given ourselves, which needs no privilege."""
    most = dict(site.limits).get(name, -1)
    hard = hard if most < 0 else min(hard, most)
    return rlimit(name, min(soft, hard), hard)


def userns() -> Program:
    """Into the container's user namespace: from here on our privileges end at its border."""
    return (call("setns", USERNS, namespaces.FLAGS["user"], path="user"),)


def bounding(names: tuple[str, ...]) -> Program:
    """Everything else out of the bounding set: no exec can bring it back."""
    dropped = [number for number in range(64) if not bits(names) >> number & 1]
    # EINVAL is past the last capability this kernel knows.
    return tuple(
        calls.prctl(
            _PR_CAPBSET_DROP, number, told="PR_CAPBSET_DROP",
            passes=((errno.EINVAL, len(dropped) - at - 1),) if number >= len(NAMES) else (),
        )
        for at, number in enumerate(dropped)
    )  # fmt: skip


def filter_calls(filters: tuple[bytes, ...]) -> Program:
    """After everything that it might not allow; execve it must."""
    return tuple(calls.seccomp_filter(one) for one in filters)


def no_new_privileges() -> Program:
    return (calls.prctl(_PR_SET_NO_NEW_PRIVS, 1, told="PR_SET_NO_NEW_PRIVS"),)


#: The same for every container, by their arguments.
SHARED: dict[str, Callable[..., Program]] = {
    "unshare": unshare, "keyring": keyring, "private": private, "no-setuid": no_setuid, "seal": seal,
    "mount-kernel": mount_kernel, "dev": dev, "mount-dev": mount_dev, "mask": mask, "protect": protect,
    "node": node, "link": link, "enter": enter, "session": session, "rlimit": rlimit,
    "userns": userns, "bounding": bounding, "no-new-privileges": no_new_privileges, "filter": filter_calls,
}  # fmt: skip
#: One container's own, by its site as well.
PROGRAMS: dict[str, Callable[..., Program]] = {
    "join": join, "own-ids": own_ids, "masks": masks, "bind-root": bind_root, "tmpfs-root": tmpfs_root,
    "hostname": hostname, "lower-rlimit": lower_rlimit,
}  # fmt: skip
