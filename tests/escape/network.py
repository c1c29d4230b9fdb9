"""Networks, sockets and IPC of the host."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable

from tests.escape.calls import LIBC, call
from tests.escape.check import Denied, Told, at_home, check, text

#: Where those who command the host listen; the harness adds one of its own.
CONTROL = (
    "/run/docker.sock /var/run/docker.sock /run/containerd/containerd.sock /run/podman/podman.sock "
    "/run/crio/crio.sock /run/systemd/private /run/systemd/notify /run/dbus/system_bus_socket "
    "/run/supervisor/api.sock /var/run/supervisor.sock /run/libvirt/libvirt-sock"
).split()
NETLINK_ROUTE = 0


def _connects(family: int, address: str | bytes | tuple[str, int]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as one:
        one.settimeout(2)
        try:
            one.connect(address)
        except OSError as error:
            if error.errno is None or error.errno in {
                errno.ECONNREFUSED,
                errno.ENETUNREACH,
                errno.EHOSTUNREACH,
                errno.EADDRNOTAVAIL,
                errno.EINVAL,
            }:
                return False
            raise
        return True


@check("high", "an abstract socket of the host can be reached (CVE-2020-15257)")
def abstract_unix_of_host(host: Told) -> str | None:
    name = str(host["abstract"])
    return f"@{name}" if _connects(socket.AF_UNIX, b"\0" + name.encode()) else None


@check("medium", "the host's sockets are listed")
def abstract_unix_listed(host: Told) -> str | None:
    return "/proc/net/unix" if host["nonce"] in text("/proc/net/unix") else None


@check("high", "a control socket of the host can be reached")
def control_sockets_visible(host: Told) -> str | None:
    for path in [host["control"], *CONTROL]:
        try:
            if _connects(socket.AF_UNIX, path):
                return str(path)
        except FileNotFoundError:
            continue
    return None


@check("high", "servers on the host's loopback interface can be reached")
def host_loopback_reachable(host: Told) -> str | None:
    return f"127.0.0.1:{host['port']}" if _connects(socket.AF_INET, ("127.0.0.1", host["port"])) else None


@check("medium", "the host's network can be reached")
def host_network_reachable(host: Told) -> str | None:
    for address in host["addresses"]:
        if _connects(socket.AF_INET, (address, host["port"])):
            return f"{address}:{host['port']}"
    return None


@check("medium", "the host's network interfaces are there")
def host_interfaces(host: Told) -> str | None:
    found = sorted({name for _, name in socket.if_nameindex()} & set(host["interfaces"]))
    return " ".join(found) or None


@check("medium", "the network interfaces can be changed")
def net_admin(_: Told) -> str | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        flags = fcntl.ioctl(one, 0x8913, struct.pack("16sh14x", b"lo", 0))  # SIOCGIFFLAGS
        fcntl.ioctl(one, 0x8914, flags)  # SIOCSIFFLAGS, as they were
    return "SIOCSIFFLAGS wrote what it read"


def _opens(family: int, kind: int, protocol: int = 0) -> str:
    socket.socket(family, kind, protocol).close()
    return f"socket({family}, {kind}, {protocol})"


@check("high", "raw IP packets can be made: forged senders")
def raw_socket(_: Told) -> str | None:
    return _opens(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@check("high", "raw frames can be made and read: others' traffic")
def packet_socket(_: Told) -> str | None:
    return _opens(socket.AF_PACKET, socket.SOCK_RAW)


@check("high", "vsock is allowed: it reaches the hypervisor past every network namespace")
def vsock_socket(_: Told) -> str | None:
    return _opens(socket.AF_VSOCK, socket.SOCK_STREAM)


@check("medium", "AF_ALG is allowed: the kernel's cryptography, and modules loaded for it")
def alg_socket(_: Told) -> str | None:
    return _opens(socket.AF_ALG, socket.SOCK_SEQPACKET)


@check("low", "netlink protocols other than routes' are allowed: much kernel code")
def netlink_oddities(_: Told) -> str | None:
    return _first((socket.AF_NETLINK, socket.SOCK_RAW, protocol) for protocol in (16, 12, 15, 6, 4, 9, 21))


@check("low", "socket families that no service needs are allowed")
def unusual_families(_: Told) -> str | None:
    families = (15, 21, 29, 30, 31, 38, 41, 42, 43, 44, 45)
    kinds = (socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET, socket.SOCK_STREAM)
    return _first((family, kind, 0) for family in families for kind in kinds if family != socket.AF_ALG)


def _first(triples: Iterable[tuple[int, int, int]]) -> str | None:
    for family, kind, protocol in triples:
        try:
            return _opens(family, kind, protocol)
        except OSError:
            continue
    return None


# ── System V and POSIX IPC ─────────────────────────────────────────────────────────────


@check("high", "shared memory of the host can be read")
def sysv_shm_of_host(host: Told) -> str | None:
    number = call("shmget", host["sysv"], 0, 0)
    LIBC.shmat.restype = ctypes.c_void_p
    where = LIBC.shmat(number, None, 0o10000)  # SHM_RDONLY
    if where in {None, ctypes.c_void_p(-1).value}:
        raise OSError(ctypes.get_errno(), "shmat")
    return f"segment {number}" if ctypes.string_at(where) == host["nonce"].encode() else None


@check("medium", "message queues of the host can be reached")
def sysv_msg_of_host(host: Told) -> str | None:
    return f"queue {call('msgget', host['sysv'], 0)}"


@check("medium", "semaphores of the host can be reached")
def sysv_sem_of_host(host: Told) -> str | None:
    return f"set {call('semget', host['sysv'], 0, 0)}"


@check("medium", "POSIX message queues of the host can be reached")
def mqueue_of_host(host: Told) -> str | None:
    os.close(call("mq_open", host["nonce"].encode(), os.O_RDONLY | os.O_NONBLOCK, 0, 0))
    return str(host["nonce"])


@check("medium", "the host's System V IPC is listed")
def sysv_listed(host: Told) -> str | None:
    if at_home(host, "ipc") and str(host["sysv"]) not in text("/proc/sysvipc/shm"):
        raise Denied("nothing there")
    return "/proc/sysvipc/shm" if str(host["sysv"]) in text("/proc/sysvipc/shm") else None
