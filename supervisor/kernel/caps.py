"""Capabilities by name (capabilities(7); include/uapi/linux/capability.h)."""

import errno

from supervisor.errors import KernelError
from supervisor.kernel import libc

#: In the order of their numbers.
NAMES = tuple(
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE".split()
)

_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_CAP_AMBIENT = 23, 24, 47
_AMBIENT_IS_SET, _AMBIENT_RAISE, _AMBIENT_CLEAR_ALL = 1, 2, 4


def mask(names: tuple[str, ...]) -> int:
    bits = 0
    for name in names:
        bits |= 1 << NAMES.index(name)
    return bits


def limit_bounding(names: tuple[str, ...]) -> None:
    """Take everything else out of the bounding set: no exec can bring it back."""
    keep = mask(names)
    for number in range(64):
        if keep >> number & 1:
            continue
        try:
            libc.prctl(_PR_CAPBSET_DROP, number, name="PR_CAPBSET_DROP")
        except KernelError as error:
            if error.errno != errno.EINVAL or number == 0:
                raise
            return  # past the last capability this kernel knows


def take_exactly(names: tuple[str, ...], *, root: bool) -> None:
    """Permitted, effective, inheritable and ambient become exactly what `names` allows.

    Root gets them at exec from the bounding set, so its inheritable set stays empty (CVE-2022-24769);
    any other user needs them ambient to keep them across exec. Read back: a set that differs raises.
    """
    wanted = mask(names)
    inheritable = 0 if root else wanted
    libc.capset(wanted, wanted, inheritable)
    libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, name="PR_CAP_AMBIENT_CLEAR_ALL")
    for number in range(64) if inheritable else ():
        if inheritable >> number & 1:
            libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_RAISE, number, name="PR_CAP_AMBIENT_RAISE")
    verify(wanted, inheritable)


def permitted() -> int:
    """The permitted set of this thread, as a bit mask."""
    return libc.capget()[1]


def keep_only(names: tuple[str, ...]) -> None:
    """Give up every capability but these, for this process and all that it forks or executes."""
    limit_bounding(names)
    left = permitted() & mask(names)
    libc.capset(left, left, 0)


def verify(permitted: int, inheritable: int) -> None:
    if libc.own_capability_sets() != libc.capability_sets(permitted, permitted, inheritable)[1]:
        raise KernelError("capset", errno.EPERM, f"effective {libc.capget()[0]:#x}, wanted {permitted:#x}")
    # Nothing is ambient that is not inheritable: the kernel sees to that.
    for number in range(len(NAMES)) if inheritable else ():
        raised = bool(libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_IS_SET, number, name="PR_CAP_AMBIENT_IS_SET"))
        if raised != bool(inheritable >> number & 1):
            raise KernelError("prctl", errno.EPERM, f"ambient CAP_{NAMES[number]}")
