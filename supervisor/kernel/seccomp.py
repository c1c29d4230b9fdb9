"""Seccomp filters: programs of classic BPF, ready-made, laid on this process (seccomp(2))."""

import errno

from supervisor.errors import KernelError
from supervisor.kernel import libc

_PR_GET_SECCOMP = 21
_MODE_FILTER = 2
_SIZE = 8  # bytes of a struct sock_filter
_LONGEST = 4096  # BPF_MAXINSNS


def install(program: bytes) -> None:
    """Put this thread and all it forks or execs under the filter, above those it has; there is no way back.

    Needs no_new_privs or CAP_SYS_ADMIN, else EACCES. Nothing is asked of the kernel afterwards: that the
    call succeeded *is* its word, and the filter may answer any further call with an end of the process.
    """
    check(program)
    libc.seccomp_filter(program)


def check(program: bytes) -> None:
    """Raise KernelError unless it is as long as one can be: its length is told to the kernel in 16 bits."""
    if not program or len(program) % _SIZE or len(program) > _LONGEST * _SIZE:
        raise KernelError("seccomp", errno.EINVAL, f"{len(program)} bytes")


def verify() -> None:
    """Raise unless a filter is in force; only for filters that let prctl through (PR_GET_SECCOMP)."""
    if libc.prctl(_PR_GET_SECCOMP, name="PR_GET_SECCOMP") != _MODE_FILTER:
        raise KernelError("prctl", errno.EPERM, "no seccomp filter is in force")
