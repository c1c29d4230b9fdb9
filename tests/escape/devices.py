"""Devices and terminals: nodes, the terminal of whoever started the supervisor, standard streams."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import stat
import termios

from tests.escape.calls import NOWHERE, call
from tests.escape.check import INHERITED, Denied, Missing, Told, any_opens, check, opens, word
from tests.escape.filesystem import is_foreign

#: What the OCI runtime specification lists, and what goes with it.
STANDARD = set(
    "null zero full random urandom tty ptmx pts shm mqueue fd stdin stdout stderr console core".split()
)
TIOCSTI = 0x5412


def _make(kind: int, major: int, minor: int) -> str:
    """Make a device node in any folder that takes one, and open it for reading."""
    refusal: OSError | None = None
    for folder in ("/tmp", "/dev", "/run", "/var/tmp", "/dev/shm", "."):
        path = f"{folder}/node-{os.getpid()}"
        try:
            os.mknod(path, kind | 0o600, os.makedev(major, minor))
        except OSError as error:
            refusal = refusal if refusal and refusal.errno == errno.EPERM else error
            continue
        os.unlink(path)
        return f"{path} made"
    if refusal:
        raise refusal
    raise Missing("no folder to try in")


@check("high", "a node of the machine's memory can be made")
def mknod_char(_: Told) -> str | None:
    return _make(stat.S_IFCHR, 1, 1)


@check("high", "a node of the machine's disk can be made")
def mknod_block(host: Told) -> str | None:
    try:
        return _make(stat.S_IFBLK, *host["disk"])
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        return _make(stat.S_IFBLK, 7, 0)


def _nodes() -> list[str]:
    return [name for name in sorted(os.listdir("/dev")) if name not in STANDARD]


@check("high", "a disk of the machine can be opened")
def dev_block_opens(_: Told) -> str | None:
    paths = [f"/dev/{name}" for name in _nodes() if stat.S_ISBLK(os.lstat(f"/dev/{name}").st_mode)]
    return any_opens(paths, os.O_RDONLY) if paths else None


@check("high", "the machine's memory or ports can be opened")
def dev_mem(_: Told) -> str | None:
    return any_opens(["/dev/mem", "/dev/kmem", "/dev/port"], os.O_RDONLY)


@check("medium", "the kernel's messages can be read by /dev/kmsg")
def dev_kmsg(_: Told) -> str | None:
    return opens("/dev/kmsg", os.O_RDONLY)


@check("medium", "/dev holds more than the standard nodes")
def dev_extra_nodes(_: Told) -> str | None:
    return " ".join(_nodes()[:20]) or None


@check("medium", "the machine's console can be opened")
def dev_console(_: Told) -> str | None:
    return any_opens(["/dev/tty0", "/dev/tty1"], os.O_RDWR)


@check("medium", "the standard nodes are not what they seem: a masked path would be a hole")
def dev_wrong_nodes(_: Told) -> str | None:
    wanted = {
        "null": (1, 3),
        "zero": (1, 5),
        "full": (1, 7),
        "random": (1, 8),
        "urandom": (1, 9),
        "tty": (5, 0),
    }
    for name, number in wanted.items():
        found = os.lstat(f"/dev/{name}")
        if not stat.S_ISCHR(found.st_mode) or (os.major(found.st_rdev), os.minor(found.st_rdev)) != number:
            return f"/dev/{name}"
    return None


@check("high", "the pseudo-terminals are the host's")
def devpts_of_host(host: Told) -> str | None:
    return "/dev/pts" if os.stat("/dev/pts").st_dev == host["pts"] else None


@check("high", "the terminal of whoever started the supervisor is the service's")
def controlling_terminal(_: Told) -> str | None:
    return opens("/dev/tty", os.O_RDWR)


def _push(fd: int) -> str | None:
    """TIOCSTI by its number and by one that is equal in its low 32 bits (CVE-2019-10063)."""
    refusal: OSError | None = None
    for request in (TIOCSTI, TIOCSTI + (1 << 32)):
        try:
            call("ioctl", fd, request, NOWHERE)
        except OSError as error:
            if error.errno == errno.EFAULT:
                return f"{request:#x}: EFAULT, after the permission was granted"
            refusal = error
    raise refusal or Denied("no effect")


@check("high", "keys can be typed into the terminal of whoever started the supervisor")
def ctty_tiocsti(_: Told) -> str | None:
    fds = [fd for fd in INHERITED if os.isatty(fd)]
    try:
        fds.append(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError as error:
        if not fds:
            raise Denied(f"no terminal: /dev/tty {word(error)}") from None
    return next((found for found in map(_push, fds) if found), None)


@check("low", "TIOCSTI is allowed on a terminal of one's own (`exec` gives one)")
def tiocsti_call(_: Told) -> str | None:
    try:
        _leading, own = pty.openpty()
    except OSError as error:
        raise Denied(f"no terminal to be had: {word(error)}") from None
    os.setsid()
    fcntl.ioctl(own, termios.TIOCSCTTY, 0)
    return _push(own)


@check("high", "a standard stream is a terminal, folder, disk or file of the host")
def stdio_host_object(_: Told) -> str | None:
    for fd in (0, 1, 2):
        mode = INHERITED[fd].st_mode if fd in INHERITED else 0
        if os.isatty(fd) or stat.S_ISDIR(mode) or stat.S_ISBLK(mode) or stat.S_ISREG(mode):
            return f"{fd} -> {os.readlink(f'/proc/self/fd/{fd}')}"
    return None


@check("medium", "a standard stream is a device node of the host, whose mode the service can change")
def stdio_node_changed(_: Told) -> str | None:
    for fd in (0, 1, 2):
        found = INHERITED.get(fd)
        if found and stat.S_ISCHR(found.st_mode) and is_foreign(fd):
            os.fchmod(fd, stat.S_IMODE(found.st_mode))
            return f"{fd} -> {os.readlink(f'/proc/self/fd/{fd}')}"
    return None
