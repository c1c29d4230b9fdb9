"""The operations that build a container's root, out of its sight, up to the moment it is entered.

All of them run in a forked child that ends with the launch, never in the helper itself, with the
host's root privileges. The contents of the root directory, and what other containers can write of
it, are hostile: they are reached by descriptor only, resolved below the new root.
"""

import os
import socket
import stat

from supervisor.helper.programs import LOOPBACK
from supervisor.helper.workplace import FILE, FOLDER, HOST, NETWORK, PROC, ROOT, SYS, Workplace
from supervisor.kernel import mounts, namespaces
from supervisor.kernel.program import run


def private(work: Workplace) -> None:
    """Before any other mount: nothing of what follows reaches the host."""
    work.slots[HOST] = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    mounts.make_private()


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


def _attach_root(work: Workplace, root: int) -> None:
    _over_mountpoint(work, root)
    work.slots[ROOT] = root


def _over_mountpoint(work: Workplace, tree: int) -> None:
    """On top of whatever is there already: only descriptors lead below the topmost."""
    place = work.on_host(work.mountpoint)
    mounts.attach(tree, place, work.mountpoint)
    os.close(place)


def tmpfs(work: Workplace, target: str, options: tuple[tuple[str, str], ...], attributes: int) -> None:
    tree = mounts.filesystem("tmpfs", options, attributes)
    _attach(work, tree, target, directory=True)


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


def _attach(work: Workplace, tree: int, target: str, *, directory: bool) -> None:
    place = mounts.make_place(work.root, target, directory=directory)
    mounts.attach(tree, place, target)
    os.close(place)
    os.close(tree)


def network(work: Workplace) -> None:
    """A network namespace of its own: one that is ready (helper.network), or a new one."""
    if work.slots[NETWORK] >= 0:
        namespaces.join(work.slots[NETWORK], "net")
        os.close(work.slots[NETWORK])
    else:
        namespaces.unshare(("net",))
        run(LOOPBACK, work.slots)


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
    for slot in (HOST, FOLDER, FILE, PROC, SYS):
        os.close(work.slots[slot])
