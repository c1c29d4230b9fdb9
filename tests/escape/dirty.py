"""python -m tests.escape.dirty FOLDER NONCE PROGRAM [ARGUMENT…]   runs a program as a child of a dirty parent.

The child has: descriptors of "/" and of a host file, inheritable; NONCE in its environment and in a key of its
session keyring; more groups; a controlling terminal, its standard input; FOLDER of the host as working
directory; inheritable capabilities; an open file mode mask; a signal ignored and one blocked; the largest core
dumps it may have; no randomisation of its memory. None of this may reach a container. Passes on the child's exit status.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pty
import resource
import signal
import sys
import termios

from tests.escape.calls import call
from tests.escape.host import GROUPS

SESSION = -3 & 0xFFFFFFFF
ADDR_NO_RANDOMIZE = 0x0040000
NET_RAW = 1 << 13


def become(folder: str, nonce: str, terminal: int) -> None:
    os.setsid()
    fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
    os.dup2(terminal, 0)
    os.close(terminal)
    os.chdir(folder)
    for number, path in ((9, "/"), (12, "canary"), (15, ".")):
        os.dup2(os.open(path, os.O_RDONLY), number, inheritable=True)
    os.environ["SECRET"] = nonce
    with contextlib.suppress(OSError):  # a kernel may lack them
        call("keyctl", 1, 0)  # KEYCTL_JOIN_SESSION_KEYRING, a new one
        call("add_key", b"user", nonce.encode(), nonce.encode(), len(nonce), SESSION)
    os.setgroups(GROUPS)
    _inheritable()
    os.umask(0)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    call("personality", ADDR_NO_RANDOMIZE)


def _inheritable() -> None:
    """capset(2): the same capabilities, and CAP_NET_RAW in the inheritable set."""
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    with open("/proc/self/status", encoding="utf-8") as file:
        held = int(next(line for line in file if line.startswith("CapPrm")).split()[1], 16)
    low, high = held & 0xFFFFFFFF, held >> 32
    call("capset", head, (ctypes.c_uint32 * 6)(low, low, NET_RAW, high, high, 0))


def main(folder: str, nonce: str, *command: str) -> int:
    leading, terminal = pty.openpty()
    child = os.fork()
    if not child:
        os.close(leading)
        become(folder, nonce, terminal)
        os.execvp(command[0], command)
    os.close(terminal)
    # As a terminal does: what is written to it is read, until nobody has it open.
    with contextlib.suppress(OSError):
        while os.read(leading, 65536):
            pass
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
