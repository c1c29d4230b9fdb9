"""cgroups: where they are, making a leaf with its limits in force, ending what lives in it.

Unified v2 is the model; file names and values are those of v2. On a hybrid host (v1 controllers
beside a v2 tree) cpu.max, cpu.weight and pids.max are translated for the v1 cpu and pids
hierarchies; everything else that needs a controller v2 does not have there is refused.
Source: Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

import errno
import os
import select
import time
from contextlib import suppress
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.kernel import files, libc

#: v2 file → controller; a file not listed needs none.
_FIRST_PART = ("cpu", "memory", "pids", "io")
_V1_SHARES = {"low": 2, "high": 262144}
#: What a limit file holds in a new cgroup, as it is written: v2's, then those of v1's that are translated to.
DEFAULTS = {
    "cpu.max": "max 100000", "cpu.weight": "100", "pids.max": "max", "io.weight": "default 100",
    "memory.max": "max", "memory.high": "max", "memory.low": "0", "memory.min": "0",
    "memory.swap.max": "max", "memory.oom.group": "0",
    "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "-1", "cpu.shares": "1024",
}  # fmt: skip
Limits = tuple[tuple[str, str, str], ...]


class Layout(NamedTuple):
    """Folders of this process's own cgroups: `unified` is the v2 one ("" if the host has none), `v1`
    maps a v1 controller to its folder; `root` is the v2 mount point.
    """

    root: str
    unified: str
    v1: dict[str, str]


class Leaf(NamedTuple):
    """One container's cgroup: its v2 folder and, by v1 controller, its folders there."""

    unified: str
    v1: dict[str, str]

    @property
    def cpu(self) -> str:
        """The folder that has cpu.max, or cfs_quota_us."""
        return self.v1.get("cpu", self.unified)

    @property
    def folders(self) -> tuple[str, ...]:
        return (self.unified, *self.v1.values())


def discover(mountinfo: str, own: str) -> Layout:
    """Layout from the texts of /proc/self/mountinfo and /proc/self/cgroup (cgroups(7)); pure."""
    paths = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    root, unified, v1 = "", "", {}
    for line in mountinfo.splitlines():
        head, _, tail = line.partition(" - ")
        fstype, _, options = tail.split(" ", 2)
        shown, point = head.split(" ")[3:5]
        if fstype == "cgroup2" and not root:
            root, unified = point, _below(point, shown, paths.get("", "/"))
        elif fstype == "cgroup":
            for controller in options.split(","):
                if controller in paths:
                    v1[controller] = _below(point, shown, paths[controller])
    return Layout(root, unified, v1)


def _below(point: str, shown: str, path: str) -> str:
    """The folder of cgroup `path` in a mount at `point` that shows the hierarchy from `shown` down."""
    if shown != "/" and path.startswith(shown):
        path = path[len(shown) :]
    return point + path.rstrip("/") if path != "/" else point


def here() -> Layout:
    """The layout this process finds itself in; raises OSError without /proc."""
    with (
        open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts,
        open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as own,
    ):
        return discover(mounts.read(), own.read())


def read(folder: str, name: str) -> str:
    return files.content(f"{folder}/{name}").decode("ascii", "replace").strip()


def write(folder: str, name: str, text: str) -> None:
    """All in one system call, as the kernel wants it; raises KernelError naming file and value."""
    path = f"{folder}/{name}"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KernelError("write", error.errno or 0, f"{path} = {text}") from None


def controllers(folder: str) -> frozenset[str]:
    return frozenset(read(folder, "cgroup.controllers").split())


def usable(folder: str) -> frozenset[str]:
    """The controllers of `folder` that limits here are about."""
    return controllers(folder) & set(_FIRST_PART)


def delegate(folder: str) -> None:
    """Let children of `folder` use every controller it has (cgroup.subtree_control)."""
    for controller in sorted(usable(folder) - set(read(folder, "cgroup.subtree_control").split())):
        write(folder, "cgroup.subtree_control", f"+{controller}")


def place(key: str, layout: Layout, available: frozenset[str]) -> str:
    """Which hierarchy takes v2 file `key`: "" for unified, or a v1 controller's name.

    Raises KernelError(ENOTSUP) where none does; its path says what is missing.
    """
    controller = key.split(".", 1)[0]
    if controller not in _FIRST_PART or controller in available:
        return ""
    if controller in layout.v1 and key in {"cpu.max", "cpu.weight", "pids.max"}:
        return controller
    raise KernelError("cgroup", errno.ENOTSUP, key)


def translate(key: str, value: str) -> tuple[tuple[str, str], ...]:
    """A v2 file and value as v1 files and values, in the order they must be written."""
    if key == "cpu.max":
        quota, _, period = value.partition(" ")
        period = period or "100000"
        return (("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", "-1" if quota == "max" else quota))
    if key == "cpu.weight":
        shares = min(max(int(value) * 1024 // 100, _V1_SHARES["low"]), _V1_SHARES["high"])
        return (("cpu.shares", str(shares)),)
    return ((key, value),)


def make(leaf: Leaf, limits: Limits) -> bool:
    """Make the leaf and put each limit in force; True if it is new."""
    new = False
    for folder in leaf.folders:
        try:
            os.mkdir(folder, 0o755)
            new = True
        except FileExistsError:
            continue
        except OSError as error:
            raise KernelError("mkdir", error.errno or 0, folder) from None
    put_in_force(leaf, limits)
    return new


def succeed(old: Limits, new: Limits) -> Limits:
    """`new`, and for each file of `old` that it leaves out, what a new cgroup has there: pure."""
    files = {(hierarchy, name) for hierarchy, name, _ in new}
    gone = tuple((one[0], one[1], DEFAULTS[one[1]]) for one in old if one[:2] not in files)
    return gone + new


def settable(leaf: Leaf) -> Limits:
    """Each file of a limit that the leaf has, as in a new cgroup. Raises OSError."""
    folders = (("", leaf.unified), *leaf.v1.items())
    found = ((hierarchy, name) for hierarchy, folder in folders for name in os.listdir(folder))
    return tuple((hierarchy, name, DEFAULTS[name]) for hierarchy, name in found if name in DEFAULTS)


def put_in_force(leaf: Leaf, limits: Limits) -> None:
    """Write each limit (hierarchy, file, value) and read it back; one that the kernel changed or ignored
    raises KernelError(ERANGE).
    """
    for hierarchy, name, value in limits:
        set_limit(leaf.v1[hierarchy] if hierarchy else leaf.unified, name, value)


def set_limit(folder: str, name: str, value: str) -> None:
    with suppress(OSError):  # what cannot be read cannot be written either, which then says why
        if in_force(name, value, read(folder, name)):
            return
    write(folder, name, value)
    got = read(folder, name)
    if not in_force(name, value, got):
        raise KernelError("cgroup", errno.ERANGE, f"{folder}/{name}: wrote {value}, reads {got}")


#: Of the files of a controller that counts in pages, those that do not.
_NO_BYTES = frozenset({"memory.oom.group"})


def in_force(name: str, wanted: str, got: str) -> bool:
    """Whether what a limit file reads is what was written: io.weight answers "default N", memory
    limits are rounded down to whole pages.
    """
    if got in {wanted, f"default {wanted}"}:
        return True
    if name.startswith("memory.") and name not in _NO_BYTES and wanted.isdigit() and got.isdigit():
        page = os.sysconf("SC_PAGE_SIZE")
        return int(wanted) // page * page == int(got)
    return False


def fork_into(leaf: Leaf, flags: int) -> tuple[int, int]:
    """fork(2) a child that begins in the v2 cgroup of `leaf`: (pid, pidfd), (0, -1) in the child.

    Moving a process there afterwards, by cgroup.procs, waits for an RCU grace period (7 ms and more);
    being born there does not (clone3(2), CLONE_INTO_CGROUP). `flags` are further CLONE_ flags.

    Linux from 6.14 on kills the child at birth when cgroup.kill was used on one of the two cgroups, ours
    and the leaf, and not on the other: it compares how often. So neither may have been killed since
    it was made.
    """
    folder = os.open(leaf.unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    pid = -1
    try:
        pid, pidfd = libc.clone3(flags, folder)
        return pid, pidfd
    finally:
        if pid:  # the child closes what it inherits; nothing may raise in it before it knows what it is
            with suppress(OSError):
                os.close(folder)


def kill(leaf: Leaf) -> None:
    """SIGKILL for everything in the leaf, at once and without a race (cgroup.kill, Linux 5.14)."""
    write(leaf.unified, "cgroup.kill", "1")


def members(leaf: Leaf) -> frozenset[int]:
    """PIDs of what lives in it, as this process's /proc counts; none when it is not there. Not of zombies: they have left."""
    try:
        return frozenset(map(int, read(leaf.unified, "cgroup.procs").split()))
    except FileNotFoundError:
        return frozenset()


def freeze(leaf: Leaf, seconds: float) -> bool:
    """Stop all that lives in it between two system calls; whether that was so in time (cgroup.freeze, Linux 5.2)."""
    events = os.open(f"{leaf.unified}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    try:
        write(leaf.unified, "cgroup.freeze", "1")
        poll = select.poll()
        poll.register(events, select.POLLPRI | select.POLLERR)
        until = time.monotonic() + seconds
        while b"frozen 1" not in os.pread(events, 4096, 0):
            left = until - time.monotonic()
            if left <= 0:
                return False
            poll.poll(left * 1000)
        return True
    finally:
        os.close(events)


def thaw(leaf: Leaf) -> None:
    write(leaf.unified, "cgroup.freeze", "0")


def end(folder: str) -> None:
    """Kill everything in the v2 cgroup `folder` and return once it is empty; gone already is fine."""
    try:
        events = os.open(f"{folder}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        write(folder, "cgroup.kill", "1")
        poll = select.poll()
        poll.register(events, select.POLLPRI | select.POLLERR)
        while populated(events):
            poll.poll()
    finally:
        os.close(events)


def populated(events: int) -> bool:
    """Whether a live process is left, from an open cgroup.events; re-arms its POLLPRI."""
    return b"populated 1" in os.pread(events, 4096, 0)


def remove(folder: str) -> None:
    """Remove a cgroup and whatever empty ones a container made below it; gone already is fine."""
    try:
        for parent, _, _ in os.walk(folder, topdown=False):
            os.rmdir(parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise KernelError("rmdir", error.errno or 0, folder) from None
