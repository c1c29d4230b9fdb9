"""The operations that build a container's root, out of its sight, up to the moment it is entered.

All of them run in a forked child that ends with the launch, never in the helper itself, with the
host's root privileges. The contents of the root directory, and what other containers can write of
it, are hostile: they are reached by descriptor only, resolved below the new root.
"""

import errno
import os
import socket
import stat

from supervisor.errors import KernelError
from supervisor.helper.workplace import Workplace
from supervisor.kernel import caps, mounts, namespaces


def private(work: Workplace) -> None:
    """Before any other mount: nothing of what follows reaches the host."""
    work.host = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.make_private()


def own_ids(work: Workplace) -> None:
    """What is made from here on belongs to the container's root; the powers to make it stay."""
    caps.act_as(work.ids)


def shift_time(work: Workplace, offsets: tuple[tuple[str, int], ...]) -> None:
    proc = work.on_host("/proc")
    namespaces.shift_time(proc, offsets)
    os.close(proc)


# ── the root directory ─────────────────────────────────────────────────────────────────


def overlay_root(work: Workplace, lower: str, layer: str) -> None:
    """`layer` "": a tmpfs of the container's own holds the writable layer. It counts as the container's
    memory, and ends with the mount namespace, so that nothing has to be deleted afterwards.
    """
    upper = _kept_layer(work, layer) if layer else _own_layer(work)
    source = work.on_host(lower, os.O_PATH | os.O_DIRECTORY)
    below = mounts.clone(source, recursive=False)
    os.close(source)
    work.map_ids(below, lower)
    _make_layer(upper, os.fstat(below))
    # Layers by descriptor: a path may hold ":" or ",", or change under us.
    options = [
        ("lowerdir", f"/proc/self/fd/{below}"),
        ("upperdir", f"/proc/self/fd/{upper}/upper"),
        ("workdir", f"/proc/self/fd/{upper}/work"),
    ]
    if work.rootless:
        options.append(("userxattr", ""))
    merged = mounts.filesystem("overlay", tuple(options), mounts.NODEV)
    os.close(below)
    os.close(upper)
    _attach_root(work, merged)


def _own_layer(work: Workplace) -> int:
    layer = mounts.filesystem("tmpfs", (("mode", "755"),), mounts.NODEV)
    _over_mountpoint(work, layer)
    return layer


def _kept_layer(work: Workplace, path: str) -> int:
    """A folder that only root may enter: what is setuid in it is reachable through the container alone."""
    place = work.on_host(path, os.O_PATH | os.O_DIRECTORY)
    layer = mounts.clone(place, recursive=False)
    os.close(place)
    work.map_ids(layer, path)
    _over_mountpoint(work, layer)
    return layer


def _make_layer(upper: int, lower: os.stat_result) -> None:
    """The root of the merged view takes its owner and mode from the upper layer's root."""
    for name in ("upper", "work"):
        try:
            os.mkdir(name, 0o755, dir_fd=upper)
        except FileExistsError:
            continue  # of a run before, in a layer that is kept
        if name == "upper":
            os.chmod("upper", lower.st_mode & 0o7777, dir_fd=upper)
            os.chown("upper", lower.st_uid, lower.st_gid, dir_fd=upper)


def bind_root(work: Workplace, path: str, attributes: int) -> None:
    source = work.on_host(path, os.O_PATH | os.O_DIRECTORY)
    root = mounts.clone(source, recursive=True)
    os.close(source)
    work.map_ids(root, path)
    mounts.set_attributes(root, attributes | mounts.NODEV)
    _attach_root(work, root)


def tmpfs_root(work: Workplace) -> None:
    _attach_root(work, mounts.filesystem("tmpfs", (("mode", "755"),), mounts.NOSUID | mounts.NODEV))


def _attach_root(work: Workplace, root: int) -> None:
    _over_mountpoint(work, root)
    work.root = root


def _over_mountpoint(work: Workplace, tree: int) -> None:
    """On top of whatever is there already: only descriptors lead below the topmost."""
    place = work.on_host(work.mountpoint)
    mounts.attach(tree, place, work.mountpoint)
    os.close(place)


def no_setuid(work: Workplace) -> None:
    """With no_new_privs set-user-ID bits do nothing anyway; this says so to whoever looks."""
    mounts.set_attributes(work.root, mounts.NOSUID, recursive=False)


def seal(work: Workplace) -> None:
    """The root itself becomes read-only, what is mounted below it stays as declared."""
    mounts.set_attributes(work.root, mounts.RDONLY, recursive=False)


# ── mounts in it ───────────────────────────────────────────────────────────────────────


def mount(
    work: Workplace, fstype: str, target: str, options: tuple[tuple[str, str], ...], attributes: int
) -> None:
    """/proc and /sys are refused as links, and held open: what is done below them later must reach the
    kernel, not what the root directory's author puts in their place (CVE-2019-19921).
    """
    tree = mounts.filesystem(fstype, options, attributes)
    if target in ("/proc", "/sys"):
        work.kernel[target] = os.dup(tree)
    _attach(work, tree, target, directory=True, links=target not in work.kernel)


def bind(work: Workplace, source: str, target: str, added: int, removed: int) -> None:
    """Safe: root declared the source; its attributes are set before anyone can see it."""
    show_tree(work, source, target, added, removed, mapped=True)


def show_tree(
    work: Workplace, source: str, target: str, added: int, removed: int = 0, *, mapped: bool = False
) -> None:
    place = work.on_host(source)
    tree = mounts.clone(place, recursive=True)
    os.close(place)
    if mapped:
        work.map_ids(tree, source)
    mounts.set_attributes(tree, added, removed)
    _attach(work, tree, target, directory=stat.S_ISDIR(os.fstat(tree).st_mode))


def _attach(work: Workplace, tree: int, target: str, *, directory: bool, links: bool = True) -> None:
    place = mounts.make_place(work.root, target, directory=directory, links=links)
    mounts.attach(tree, place, target)
    os.close(place)
    os.close(tree)


def masks(work: Workplace) -> None:
    """An empty folder and an empty file, read-only: what masked paths show. Nothing of the root
    directory is their source, so no link planted in it can become one (CVE-2025-31133).
    """
    tree = mounts.filesystem("tmpfs", (("mode", "555"), ("nr_inodes", "3")), mounts.NODEV)
    os.mkdir("folder", 0o555, dir_fd=tree)
    work.empty_folder = os.open("folder", os.O_PATH | os.O_CLOEXEC, dir_fd=tree)
    flags = os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC
    work.empty_file = os.open("file", flags, 0o444, dir_fd=tree)
    mounts.set_attributes(tree, mounts.RDONLY | mounts.NOSUID | mounts.NOEXEC)
    _over_mountpoint(work, tree)
    os.close(tree)


def mask(work: Workplace, parent: str, names: tuple[str, ...]) -> None:
    """Safe: `parent` is the file system that was mounted, whatever stands in its place by now, and no link
    below it is followed.
    """
    for place, path in _below(work, parent, names):
        shown = work.empty_folder if stat.S_ISDIR(os.fstat(place).st_mode) else work.empty_file
        _cover(shown, place, path, 0)


def protect(work: Workplace, parent: str, names: tuple[str, ...]) -> None:
    """Read-only from here on, what is below it too."""
    for place, path in _below(work, parent, names):
        _cover(place, place, path, mounts.RDONLY)


def _below(work: Workplace, parent: str, names: tuple[str, ...]) -> list[tuple[int, str]]:
    """(descriptor, path) of those that this kernel has."""
    found = []
    for name in names:
        path = f"{parent}/{name}"
        try:
            found.append((mounts.resolve(work.kernel[parent], name, links=False), path))
        except KernelError as error:
            if error.errno != errno.ENOENT:
                raise
    return found


def _cover(shown: int, place: int, path: str, attributes: int) -> None:
    tree = mounts.clone(shown, recursive=False)
    if attributes:
        mounts.set_attributes(tree, attributes)
    mounts.attach(tree, place, path)
    os.close(tree)
    os.close(place)


# ── the rest of its world ──────────────────────────────────────────────────────────────


def hostname(_work: Workplace, name: str) -> None:
    socket.sethostname(name)


def loopback(work: Workplace) -> None:
    """Bring lo up; low ports open to any user, since nobody else shares this network namespace."""
    namespaces.loopback_up()
    knob = work.on_host("/proc/sys/net/ipv4/ip_unprivileged_port_start", os.O_WRONLY)
    os.write(knob, b"0")
    os.close(knob)


def lend_network(work: Workplace, service: socket.socket) -> None:
    """PID 1 gives the service, which builds the root meanwhile, the network namespace that both are in."""
    proc = work.on_host("/proc")
    own = os.open("self/ns/net", os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    socket.send_fds(service, [b"net"], [own])
    os.close(own)
    os.close(proc)


def join_network(work: Workplace) -> None:
    """Safe: the only other end of that socket is our PID 1, which obeys nobody else."""
    assert work.init
    _, descriptors, _, _ = socket.recv_fds(work.init, 3, 1)
    if not descriptors:
        os._exit(1)  # it has failed, and has said why
    namespaces.join(descriptors[0], "net")
    os.close(descriptors[0])


def enter(work: Workplace) -> None:
    mounts.enter(work.root)
    for descriptor in (work.host, work.empty_folder, work.empty_file, *work.kernel.values()):
        if descriptor >= 0:
            os.close(descriptor)
