"""Namespaces by their names in /proc/PID/ns (namespaces(7))."""

import os
import signal
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.kernel import libc, process

#: Configuration word → CLONE_ flag (include/uapi/linux/sched.h).
FLAGS = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x00000080,
}

_WALL = 0x40000000  # waitpid(2), __WALL


def unshare(names: tuple[str, ...]) -> None:
    """Leave the named namespaces for new ones, all but those of `clone_flag`."""
    libc.unshare(flags_of(names) & ~clone_flag(names))


def flags_of(names: tuple[str, ...]) -> int:
    flags = 0
    for name in names:
        flags |= FLAGS[name]
    return flags


def clone_flag(names: tuple[str, ...]) -> int:
    """What of `names` a process must be born into: unshared, "pid" would hold for its children only."""
    return FLAGS["pid"] if "pid" in names else 0


def make_user(first: int, count: int) -> int:
    """The descriptor of a new user namespace whose ids 0 … count-1 are first … first+count-1 here."""
    before = process.block_signals()
    try:
        sleeper = libc.clone_asleep(FLAGS["user"])
        try:
            for file in ("uid_map", "gid_map"):
                _write(f"/proc/{sleeper}/{file}", f"0 {first} {count}")
            return os.open(f"/proc/{sleeper}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _end(sleeper)
    except OSError as error:
        raise KernelError("user namespace", error.errno or 0, str(error.filename)) from None
    finally:
        process.unblock_signals(before)


def _end(sleeper: int) -> None:
    """It must have ended when the next one is made, which has the same stack; SIGKILL to our own child is never refused."""
    ended = False
    while not ended:
        with suppress(OSError):
            os.kill(sleeper, signal.SIGKILL)  # nobody waited for it yet
            ended = True
    with suppress(OSError):
        os.waitpid(sleeper, _WALL)


def join(namespace: int, name: str) -> None:
    """Enter the namespace behind a descriptor of /proc/PID/ns/…; "pid" is for the next child (setns(2))."""
    libc.setns(namespace, FLAGS[name])


def join_those_of(pidfd: int, names: tuple[str, ...]) -> None:
    """Enter the named namespaces of a process all at once, "mount" with its root as / and as working
    directory; "pid" is for the next child (setns(2), Linux 5.8).
    """
    libc.setns(pidfd, flags_of(names))


def map_self_as_root(uid: int, gid: int) -> None:
    """Enter a user namespace in which the caller (uid, gid outside) is root (user_namespaces(7)).

    One id is mapped, so no other account exists in it.
    """
    libc.unshare(FLAGS["user"])
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        _write(f"/proc/self/{file}", text)


def _write(path: str, text: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(file, text.encode())
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(file)
