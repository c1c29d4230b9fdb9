"""The steps by which a container's first process leaves the world of the helper: cgroups, namespaces, network. As programs.

As all programs of a launch they are carried out by a child of the zygote, with the host's root privileges, and
end with it; why each is safe stands beside it.
"""

import errno
import os
import struct
from typing import NamedTuple

from supervisor.helper.slots import HOST, OTHER
from supervisor.kernel import calls, mounts, namespaces, zygote
from supervisor.kernel.calls import close, resolve
from supervisor.kernel.program import Program, call, jump

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
_LAST = (1 << 32) - 1  # as a descriptor: past any


class Site(NamedTuple):
    """What is the same for all launches of a container. `mountpoint` is an empty folder of the host, hidden by the new
    root; `folders` are its v1 cgroups, `ids` the first of its user namespace (-1: it has none), `capabilities` what the
    helper has kept, `userns` the descriptor of its user namespace, `limits` the helper's own hard ones (-1: unlimited). `plain` is false where / is no mount that
    pivot_root could leave: in a chroot, or on an `initramfs`.
    """

    mountpoint: str
    folders: tuple[str, ...] = ()
    ids: int = -1
    capabilities: int = 0
    limits: tuple[tuple[str, int], ...] = ()
    userns: int = zygote.USERNS
    plain: bool = True
    initramfs: bool = False
    rootless: bool = False

    @property
    def shared(self) -> "Site":
        """What of it is the same for many containers."""
        return self._replace(folders=(), ids=min(self.ids, 0))


def take_places(_: Site) -> Program:
    """Of what came along stdin, stdout and stderr take their places, and what has none is closed."""
    return (
        calls.open_path("/dev/null", os.O_RDONLY, keep=OTHER),
        call("dup3", OTHER, 0, 0),
        *close(OTHER),
        call("dup3", zygote.OUT, 1, 0),
        call("dup3", zygote.ERR, 2, 0),
        call("close_range", zygote.OUT, _LAST),
    )


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


def unshare(_: Site, names: tuple[str, ...]) -> Program:
    return (call("unshare", namespaces.flags_of(names) & ~namespaces.clone_flag(names)),)


def keyring(_: Site) -> Program:
    """A session keyring without the keys of whoever started us; a kernel without keys has none to hide."""
    return (call("keyctl", 1, None, passes=((errno.ENOSYS, 0),), path="session keyring"),)


def private(site: Site) -> Program:
    """Before any other mount: nothing of what follows reaches the host.

    In a chroot / is no mount, so its propagation cannot be changed (nor could pivot_root leave it).
    Entering one's own mount namespace again leads to its real root (setns(2)); paths of the chroot are
    below its /, which has been opened before.
    """
    private = call("mount", None, b"/", None, mounts.PRIVATE, None, path="/")
    real_root = (
        calls.open_path("/proc/self/ns/mnt", os.O_RDONLY, keep=OTHER),
        call("setns", OTHER, namespaces.FLAGS["mount"], path="mount"),
        *close(OTHER),
        private,
    )
    first = calls.open_path("/", os.O_PATH | os.O_DIRECTORY, keep=HOST)
    if site.plain:
        return (first, private)
    return (first, private._replace(passes=((errno.EINVAL, 1),)), jump(len(real_root)), *real_root)


def shift_time(_: Site, offsets: tuple[tuple[str, int], ...]) -> Program:
    """A time namespace of its own whose clocks ("monotonic", "boottime") are off by nanoseconds.

    The offsets must be written before anybody is in it (time_namespaces(7)).
    """
    time, path = namespaces.FLAGS["time"], "/proc/self/timens_offsets"
    second = 1_000_000_000
    lines = "\n".join(f"{clock} {shift // second} {shift % second}" for clock, shift in offsets)
    return (
        call("unshare", time, path="time"),
        resolve(HOST, path, os.O_WRONLY, keep=OTHER),
        calls.write(OTHER, lines.encode(), path),
        *close(OTHER),
        resolve(HOST, "/proc", os.O_PATH | os.O_DIRECTORY, keep=OTHER),
        call("openat", OTHER, b"self/ns/time_for_children", os.O_RDONLY | os.O_CLOEXEC, 0, keep=OTHER),
        call("setns", OTHER, time, path="time"),
        *close(OTHER),
    )


def own_ids(site: Site) -> Program:
    """What is made from here on belongs to the container's root; the powers to make it stay: leaving user 0
    takes the file capabilities out of the effective set (capabilities(7)), so it is put back.
    """
    return (*calls.file_owner(site.ids), calls.capset(site.capabilities, site.capabilities))


def hostname(_: Site, name: str) -> Program:
    return (call("sethostname", name.encode(), len(name.encode()), path=name),)


#: Bring lo up (netdevice(7)); low ports open to any user, since nobody else shares this network namespace.
LOOPBACK = (
    call("socket", 2, 2 | os.O_CLOEXEC, 0, keep=OTHER),
    call("ioctl", OTHER, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP), path="lo"),
    *close(OTHER),
    resolve(HOST, _PORTS, os.O_WRONLY, keep=OTHER),
    calls.write(OTHER, b"0", _PORTS),
    *close(OTHER),
)


def network(_: Site) -> Program:
    """A network namespace of its own: one that is ready (helper.network), or a new one. Where none is ready, another
    file came along in its place.
    """
    new = (call("unshare", namespaces.FLAGS["net"], path="net"), *LOOPBACK)
    ready = call("setns", zygote.NETWORK, namespaces.FLAGS["net"], passes=((errno.EINVAL, 1),), path="net")
    return (ready, jump(len(new)), *new)
