"""Mounts and namespaces: made, changed, undone, entered.

Every attempt is dry: the kernel looks at a bad argument only once the caller may mount at all (may_mount in
fs/namespace.c). Only in a mount namespace that is not the host's is anything changed, and it is put back.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal

from tests.escape.calls import AT_FDCWD, CLONE_NEWNS, CLONE_NEWUSER, call, gives_fd, reaches
from tests.escape.check import NAMESPACES, Missing, Told, add, at_home, check, word
from tests.escape.filesystem import mounts

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MNT_EXPIRE = 4
FLAGS = {"ro": MS_RDONLY, "nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC}
NO_MOUNT = b"/proc/self"  # a directory that is no mount point


@check("high", "file systems can be mounted")
def mount_call(_: Told) -> str | None:
    return reaches("mount", 0, NO_MOUNT, 0, MS_REMOUNT | MS_BIND, 0)


@check("high", "file systems can be mounted by the new mount API")
def fsopen_call(_: Told) -> str | None:
    return gives_fd("fsopen", b"tmpfs", 1)


@check("high", "mounts can be cloned")
def open_tree_clone(_: Told) -> str | None:
    return gives_fd("open_tree", AT_FDCWD, b"/", 1)


@check("high", "mounts can be moved")
def move_mount_call(_: Told) -> str | None:
    return reaches("move_mount", -1, b"", -1, b"", 0x44)


@check("high", "mounts' attributes can be changed")
def mount_setattr_call(_: Told) -> str | None:
    return reaches("mount_setattr", AT_FDCWD, b"/", 0, (ctypes.c_uint64 * 4)(), 32)


@check("high", "something can be mounted over a masked path")
def bind_over_masked_path(_: Told) -> str | None:
    return reaches("mount", b"/no/such/source", b"/proc", 0, MS_BIND, 0)


@check("high", "a read-only mount can be made writable")
def remount_read_only(host: Told) -> str | None:
    if at_home(host, "mnt"):
        return mount_call(host)
    for mount in mounts():
        words = mount["options"].split(",")
        if "ro" not in words:
            continue
        flags = sum(FLAGS.get(one, 0) for one in words)
        try:
            call("mount", 0, mount["target"].encode(), 0, MS_REMOUNT | MS_BIND | flags & ~MS_RDONLY, 0)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.EACCES, errno.EINVAL}:
                raise
            continue
        call("mount", 0, mount["target"].encode(), 0, MS_REMOUNT | MS_BIND | flags, 0)
        return str(mount["target"])
    return None


@check("high", "the masks over /proc and /sys can be taken away")
def umount_masks(host: Told) -> str | None:
    if at_home(host, "mnt"):
        return reaches("umount2", NO_MOUNT, MNT_EXPIRE)
    for mount in mounts():
        if not mount["target"].startswith(("/proc/", "/sys/", "/dev/")):
            continue
        try:
            # The first MNT_EXPIRE only marks it, and says EAGAIN (umount(2)).
            call("umount2", mount["target"].encode(), MNT_EXPIRE)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EBUSY}:
                return f"{mount['target']}: {word(error)}"
            if error.errno not in {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOENT}:
                raise
    return None


@check("high", "a fresh /proc, without masks, can be made")
def fresh_proc(_: Told) -> str | None:
    made = call("fsopen", b"proc", 1)
    call("fsconfig", made, 6, 0, 0, 0)
    os.close(call("fsmount", made, 1, 0))
    return "fsmount of proc"


@check("high", "the root can be changed for another")
def pivot_root_call(_: Told) -> str | None:
    return reaches("pivot_root", b"/no/such/new", b"/no/such/old")


def _setns(kind: str) -> None:
    def attempt(host: Told) -> str | None:
        own = os.readlink(f"/proc/self/ns/{kind}")
        refusal: OSError | None = None
        for pid in [one for one in os.listdir("/proc") if one.isdigit()]:
            try:
                fd = os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY)
                found = os.readlink(f"/proc/self/fd/{fd}")
                call("setns", fd, 0)
            except OSError as error:
                # One's own user namespace cannot be entered again (setns(2)): EINVAL.
                if error.errno not in {errno.EPERM, errno.EACCES, errno.ENOENT, errno.EINVAL, errno.ENOSYS}:
                    raise
                refusal = error if error.errno != errno.ENOENT else refusal
                continue
            return "the host's" if found == host["ns"][kind] else f"{found} from {own}"
        if refusal and refusal.errno != errno.EINVAL:
            raise refusal
        return None

    add(f"setns_{kind}", "high", f"a {kind} namespace can be entered: setns is allowed", attempt)


def _shared(kind: str) -> None:
    severity = "high" if kind in {"mnt", "pid", "net", "ipc"} else "medium"

    def attempt(host: Told) -> str | None:
        return host["ns"][kind] if at_home(host, kind) else None

    add(f"namespace_{kind}_of_host", severity, f"the {kind} namespace is the host's", attempt)


for _kind in NAMESPACES:
    _setns(_kind)
    _shared(_kind)


@check("medium", "a nested user namespace gives every capability over what the kernel lets it own")
def unshare_newuser(_: Told) -> str | None:
    call("unshare", CLONE_NEWUSER)
    return "unshare(CLONE_NEWUSER)"


def _ended(pid: int, said: str) -> str:
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return said


@check("medium", "the same by clone(2)")
def clone_newuser(_: Told) -> str | None:
    return _ended(call("clone", CLONE_NEWUSER | signal.SIGCHLD, 0, 0, 0, 0), "clone(CLONE_NEWUSER)")


@check("medium", "the same by clone3(2), whose flags no filter can see")
def clone3_newuser(_: Told) -> str | None:
    words = (ctypes.c_uint64 * 8)(CLONE_NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    return _ended(call("clone3", words, ctypes.sizeof(words)), "clone3(CLONE_NEWUSER)")


@check("medium", "in a nested user namespace file systems can be mounted")
def nested_mount(host: Told) -> str | None:
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    return mount_call(host)


@check("medium", "a mount namespace of one's own can be made: mounting is allowed there")
def unshare_newns(_: Told) -> str | None:
    call("unshare", CLONE_NEWNS)
    return "unshare(CLONE_NEWNS)"


@check("medium", "other namespaces can be made: kernel code that no service needs")
def unshare_others(_: Told) -> str | None:
    for kind, flag in (("net", 0x40000000), ("ipc", 0x8000000), ("uts", 0x4000000), ("pid", 0x20000000)):
        try:
            call("unshare", flag)
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOSYS}:
                raise
            continue
        return kind
    return None


@check("high", "cgroups can be changed: limits lifted, other containers frozen")
def cgroupfs_writable(_: Told) -> str | None:
    for mount in mounts():
        if mount["kind"] in {"cgroup", "cgroup2"}:
            for name in ("cgroup.procs", "tasks", "cgroup.subtree_control"):
                try:
                    os.close(os.open(f"{mount['target']}/{name}", os.O_WRONLY))
                except OSError:
                    continue
                return f"{mount['target']}/{name}"
    return None


@check("high", "cgroup v1's release_agent names a program that the host runs as root (CVE-2022-0492)")
def cgroup_v1_release_agent(_: Told) -> str | None:
    for mount in mounts():
        if mount["kind"] == "cgroup":
            try:
                os.close(os.open(f"{mount['target']}/release_agent", os.O_WRONLY))
            except OSError:
                continue
            return f"{mount['target']}/release_agent"
    with open("/proc/filesystems", encoding="utf-8") as file:
        if "\tcgroup\n" not in file.read():
            raise Missing("this kernel has no cgroup v1")
    return gives_fd("fsopen", b"cgroup", 1)
