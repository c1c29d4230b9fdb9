"""Namespaces by their names in /proc/PID/ns (namespaces(7))."""

import fcntl
import socket
import struct

from supervisor.kernel import libc

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

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1


def unshare(names: tuple[str, ...]) -> None:
    """Leave the named namespaces for new ones; "pid" takes effect for the next child."""
    flags = 0
    for name in names:
        flags |= FLAGS[name]
    libc.unshare(flags)


def loopback_up() -> None:
    """Bring lo up in this network namespace (netdevice(7)); raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        flags = struct.unpack("16sh22x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", flags | _IFF_UP))


def map_self_as_root(uid: int, gid: int) -> None:
    """Enter a user namespace in which the caller (uid, gid outside) is root (user_namespaces(7)).

    One id is mapped, so no other account exists in it.
    """
    libc.unshare(FLAGS["user"])
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{file}", "w", encoding="ascii") as handle:
            handle.write(text)
