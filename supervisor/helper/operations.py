"""The operations that steps name: what each does, and why it is safe.

All of them run in a forked child that ends with the launch, never in the helper itself. Up to
"enter" the container's root is a place the service cannot touch yet, but its contents, and what
other containers can write of it, are hostile: they are reached by descriptor only. From "enter"
on nothing is imported, looked up through NSS or formatted through locale code: the files that
would be used are the container's.
"""

import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Any

from supervisor.errors import KernelError
from supervisor.helper.accounts import Account, look_up
from supervisor.kernel import caps, cgroup, mounts, namespaces, process

_ROOT = 0


class Workplace:
    """What the steps of one launch share: descriptors and the account, filled in as they go."""

    def __init__(self, mountpoint: str, leaf: cgroup.Leaf, *, rootless: bool) -> None:
        self.mountpoint = mountpoint  # an empty folder of the host, hidden by the new root
        self.leaf = leaf
        self.rootless = rootless
        self.host = -1  # the machine's /, as the supervisor sees it: every path of the host is below it
        self.root = -1
        self.dev = -1
        self.account = Account(0, 0, (0,), "/")

    def on_host(self, path: str, flags: int = os.O_PATH) -> int:
        """Open a path that root declared; also from a chroot, whose / is not the mount namespace's."""
        return mounts.resolve(self.host, path, flags)


def join(work: Workplace) -> None:
    """Safe: the leaf's path was built by root from the container's name."""
    cgroup.join(work.leaf)


def unshare(_work: Workplace, names: tuple[str, ...]) -> None:
    namespaces.unshare(names)


def private(work: Workplace) -> None:
    """Before any other mount: nothing of what follows reaches the host."""
    work.host = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.make_private()


def overlay_root(work: Workplace, lower: str) -> None:
    """A tmpfs of the container's own holds the writable layer: it counts as the container's memory,
    and ends with the mount namespace, so that nothing has to be deleted afterwards.
    """
    layer = mounts.filesystem("tmpfs", (("mode", "755"),), mounts.NODEV)
    place = work.on_host(work.mountpoint)
    mounts.attach(layer, place, work.mountpoint)
    os.close(place)
    for name in ("upper", "work"):
        os.mkdir(name, 0o755, dir_fd=layer)
    # The root of the merged view takes its owner and mode from the upper layer's root.
    below = work.on_host(lower, os.O_PATH | os.O_DIRECTORY)
    seen = os.fstat(below)
    os.chmod("upper", seen.st_mode & 0o7777, dir_fd=layer)
    os.chown("upper", seen.st_uid, seen.st_gid, dir_fd=layer)
    # Layers by descriptor: a path may hold ":" or ",", or change under us.
    options = [
        ("lowerdir", f"/proc/self/fd/{below}"),
        ("upperdir", f"/proc/self/fd/{layer}/upper"),
        ("workdir", f"/proc/self/fd/{layer}/work"),
    ]
    if work.rootless:
        options.append(("userxattr", ""))
    merged = mounts.filesystem("overlay", tuple(options), mounts.NODEV)
    mounts.attach(merged, layer, work.mountpoint)
    os.close(below)
    os.close(layer)
    work.root = merged


def bind_root(work: Workplace, path: str, attributes: int) -> None:
    source = work.on_host(path, os.O_PATH | os.O_DIRECTORY)
    root = mounts.clone(source, recursive=True)
    os.close(source)
    mounts.set_attributes(root, attributes | mounts.NODEV)
    _attach_root(work, root)


def tmpfs_root(work: Workplace) -> None:
    _attach_root(work, mounts.filesystem("tmpfs", (("mode", "755"),), mounts.NOSUID | mounts.NODEV))


def _attach_root(work: Workplace, root: int) -> None:
    place = work.on_host(work.mountpoint)
    mounts.attach(root, place, work.mountpoint)
    os.close(place)
    work.root = root


def own(work: Workplace, path: str, mode: int) -> None:
    os.mkdir(path[1:], dir_fd=work.root)
    os.chmod(path[1:], mode, dir_fd=work.root)


def show(work: Workplace, path: str) -> None:
    """A read-only view of a folder of the machine; a link (/bin → usr/bin) stays a link. One that
    the machine does not have, the container does not have either.
    """
    try:
        target = os.readlink(path[1:], dir_fd=work.host)
    except FileNotFoundError:
        return
    except OSError:  # EINVAL: not a link
        bind(work, path, path, mounts.RDONLY | mounts.NOSUID | mounts.NODEV, 0)
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


def mount(
    work: Workplace, fstype: str, target: str, options: tuple[tuple[str, str], ...], attributes: int
) -> None:
    """/proc and /sys are refused as links: later writes below them must reach the kernel, not a file
    that the root directory's author chose (CVE-2019-19921).
    """
    tree = mounts.filesystem(fstype, options, attributes)
    _attach(work, tree, target, directory=True, links=target not in ("/proc", "/sys"))


def bind(work: Workplace, source: str, target: str, added: int, removed: int) -> None:
    """Safe: root declared the source; its attributes are set before anyone can see it."""
    place = work.on_host(source)
    tree = mounts.clone(place, recursive=True)
    os.close(place)
    mounts.set_attributes(tree, added, removed)
    _attach(work, tree, target, directory=stat.S_ISDIR(os.fstat(tree).st_mode))


def _attach(work: Workplace, tree: int, target: str, *, directory: bool, links: bool = True) -> None:
    place = mounts.make_place(work.root, target, directory=directory, links=links)
    mounts.attach(tree, place, target)
    os.close(place)
    os.close(tree)


def dev(work: Workplace) -> None:
    """A /dev of the container's own, held open: what is made in it needs no path through the root."""
    work.dev = mounts.filesystem("tmpfs", (("mode", "755"), ("size", "64k")), mounts.NOSUID | mounts.NOEXEC)
    place = mounts.make_place(work.root, "/dev", directory=True, links=False)
    mounts.attach(work.dev, place, "/dev")
    os.close(place)


def node(work: Workplace, name: str, major: int, minor: int) -> None:
    os.mknod(name, 0o020666, os.makedev(major, minor), dir_fd=work.dev)
    os.chmod(name, 0o666, dir_fd=work.dev)


def show_node(work: Workplace, name: str, _major: int, _minor: int) -> None:
    bind(work, f"/dev/{name}", f"/dev/{name}", mounts.NOSUID | mounts.NOEXEC, 0)


def link(work: Workplace, name: str, target: str) -> None:
    os.symlink(target, name, dir_fd=work.dev)


def seal(work: Workplace) -> None:
    """The root itself becomes read-only, what is mounted below it stays as declared."""
    mounts.set_attributes(work.root, mounts.RDONLY, recursive=False)


def hostname(_work: Workplace, name: str) -> None:
    socket.sethostname(name)


def loopback(work: Workplace) -> None:
    """Bring lo up; low ports open to any user, since nobody else shares this network namespace."""
    namespaces.loopback_up()
    knob = work.on_host("/proc/sys/net/ipv4/ip_unprivileged_port_start", os.O_WRONLY)
    os.write(knob, b"0")
    os.close(knob)


def enter(work: Workplace) -> None:
    mounts.enter(work.root)
    os.close(work.host)


def lookup(work: Workplace, user: str, groups: tuple[str, ...]) -> None:
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    work.account = look_up(here, user, groups)
    os.close(here)
    if work.rootless and (work.account.uid, work.account.gid) != (_ROOT, _ROOT):
        # One id is mapped in a user's own namespace, so there is nobody else to become.
        raise KernelError("setresuid", errno.EPERM, f"{user}: without root a container has only uid 0 (you)")


def session(_work: Workplace) -> None:
    """A session without a terminal, so that nothing can be typed into the operator's (TIOCSTI), and
    the container's own /dev/null as stdin.
    """
    os.setsid()
    os.umask(0o022)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    os.close(null)


def rlimit(_work: Workplace, name: str, value: int) -> None:
    process.set_rlimit(name, value)


def output(work: Workplace) -> None:
    """The service owns its FIFOs, so that it can open /dev/stdout again."""
    for descriptor in (1, 2):
        os.fchown(descriptor, work.account.uid, -1)


def bounding(_work: Workplace, names: tuple[str, ...]) -> None:
    caps.limit_bounding(names)


def become(work: Workplace) -> None:
    if work.account.uid != _ROOT:
        process.keep_capabilities()
    process.become(work.account.uid, work.account.gid, work.account.groups, may_set_groups=not work.rootless)


def capabilities(work: Workplace, names: tuple[str, ...]) -> None:
    caps.take_exactly(names, root=work.account.uid == _ROOT)


def no_new_privileges(_work: Workplace) -> None:
    process.no_new_privileges()


def workdir(_work: Workplace, path: str) -> None:
    """With the service's own rights; a folder outside the root shows as "(unreachable)" (CVE-2024-21626)."""
    os.chdir(path)
    if not os.getcwd().startswith("/"):
        raise KernelError("chdir", errno.EACCES, path)


def execute(work: Workplace, argv: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> None:
    """execve(2) argv[0], searched in PATH if it has no slash; returns only by raising KernelError."""
    variables = dict(env)
    variables.setdefault("HOME", work.account.home)
    name, error = argv[0], errno.ENOENT
    folders = [""] if "/" in name else variables["PATH"].split(":")
    for folder in folders:
        path = f"{folder}/{name}" if folder else name
        try:
            os.execve(path, argv, variables)
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.ENOTDIR):
                error = failure.errno or 0
            elif os.path.exists(path):
                raise KernelError("execve-interpreter", errno.ENOENT, path) from None
    raise KernelError("execve", error, name)


#: By name, as steps name them; there is no other way to an operation.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "join": join, "unshare": unshare, "private": private, "overlay-root": overlay_root, "bind-root": bind_root,
    "tmpfs-root": tmpfs_root, "own": own, "show": show, "copy": copy, "mount": mount, "bind": bind, "dev": dev, "node": node,
    "show-node": show_node, "link": link, "seal": seal, "hostname": hostname, "loopback": loopback, "enter": enter,
    "lookup": lookup, "session": session, "rlimit": rlimit, "output": output, "bounding": bounding, "become": become,
    "capabilities": capabilities, "no-new-privileges": no_new_privileges, "workdir": workdir, "exec": execute,
}  # fmt: skip
