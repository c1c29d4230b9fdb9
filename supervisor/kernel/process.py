"""What a process is before it becomes something else: identity, limits, signals, descriptors."""

import errno
import os
import resource
import signal
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.kernel import libc

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 4, 38, 36

#: Configuration word → RLIMIT_ number (getrlimit(2)).
RLIMITS = {
    name: getattr(resource, f"RLIMIT_{name.upper()}")
    for name in (
        "as core cpu data fsize memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split()
    )
} | {"locks": 10}  # RLIMIT_LOCKS has no name in Python's resource module


#: SIGPIPE and SIGXFSZ, as a mask: the call that meets one fails with EPIPE or EFBIG, which says enough.
NEVER_TAKEN = 1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1
_LAST = (1 << 32) - 1  # as a descriptor: past any


def set_undumpable() -> None:
    """No other process of the same user may trace this one or open its /proc/PID/exe, fd, mem (prctl(2))."""
    libc.prctl(_PR_SET_DUMPABLE, 0, name="PR_SET_DUMPABLE")


def no_new_privileges() -> None:
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, name="PR_SET_NO_NEW_PRIVS")


def die_with(parent: int) -> None:
    """To be called between fork and exec: SIGKILL when the parent's thread that forked ends (PR_SET_PDEATHSIG).

    It survives an exec that gains no rights. A parent that was gone before is one that can send nothing.
    """
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, name="PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        os._exit(127)


def adopt_orphans() -> None:
    """Orphaned descendants become children of this process (PR_SET_CHILD_SUBREAPER)."""
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, name="PR_SET_CHILD_SUBREAPER")


def become(uid: int, gid: int, groups: tuple[int, ...], *, may_set_groups: bool = True) -> None:
    """Take an identity for good: groups, then gid, then uid, then read all three back.

    The order matters (setuid first would lose the right to the others), and so does the check:
    kernels have let such calls succeed in part (CVE-2014-8989, CVE-2018-7169).
    """
    if may_set_groups:
        os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    taken = (os.getresuid(), os.getresgid(), sorted(os.getgroups()))
    wanted = ((uid,) * 3, (gid,) * 3, sorted(groups))
    if taken[:2] != wanted[:2] or (may_set_groups and taken[2] != wanted[2]):
        raise KernelError("setresuid", errno.EPERM, f"{uid}:{gid}")


def hard_rlimits() -> tuple[tuple[str, int], ...]:
    """This process's own, -1 being unlimited."""
    return tuple((name, resource.getrlimit(number)[1]) for name, number in RLIMITS.items())


def open_more_files() -> None:
    """As many descriptors as may be had without asking (RLIMIT_NOFILE, getrlimit(2))."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def reset_personality() -> None:
    """Programs see this kernel as it is, their memory randomised, whatever `setarch` started us (personality(2))."""
    if libc.personality(0xFFFFFFFF):
        libc.personality(0)


def show_as(title: bytes) -> None:
    """What ps(1) shows of this process and its forks, instead of the arguments it was started with.

    They are written over: the kernel reads them from this process's memory (/proc/PID/cmdline), where
    Python has long copied them from; the last byte stays NUL, or it would read on (proc_pid_cmdline(5)).
    """
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    start, end = int(fields[45]), int(fields[46])  # arg_start, arg_end of proc_pid_stat(5)
    if start < end:
        libc.overwrite(start, title[: end - start - 1].ljust(end - start, b"\0"))


def ignore_nothing() -> None:
    """Signals at their defaults, those that Python ignores too: these are blocked instead, and so do not
    matter to what is forked and executed: an ignored signal would stay ignored there.
    """
    reset_signals()
    unblock_signals()


def block_signals() -> int:
    """All that can be; what was blocked before, for `unblock_signals`."""
    return libc.set_signal_mask((1 << 64) - 1)


def unblock_signals(blocked: int = NEVER_TAKEN) -> None:
    libc.set_signal_mask(blocked)


def leave_signals() -> None:
    """In a fork of a process with handlers: none of them tells it of a signal any more. They end at
    exec; until `unblock_signals` none runs.
    """
    signal.set_wakeup_fd(-1)


def ended_child() -> tuple[int, int] | None:
    """The PID and the wait status (wait(2)) of a child that has ended, which stays to be reaped; None: there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if found is None:
        return None
    return found.si_pid, found.si_status << 8 if found.si_code == os.CLD_EXITED else found.si_status


def reset_signals() -> None:
    """Every signal at its default and none blocked, as a program expects at exec (signal(7))."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        # Unchangeable ones (KILL, STOP, the two that libc keeps for itself) say so; they are at default.
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            continue
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def let_go_of_stderr() -> None:
    """A detached program that has said all it has to say lets whoever started it see the end of its output."""
    null = os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(null, 2)
    os.close(null)


def close(*descriptors: int) -> None:
    """Descriptors, -1 being none: Linux frees each, also when it answers with an error."""
    for descriptor in descriptors:
        if descriptor >= 0:
            with suppress(OSError):
                os.close(descriptor)


def close_all_but(keep: set[int]) -> None:
    """Close every descriptor from 3 up that is not in `keep`."""
    for first, last in gaps(keep):
        libc.close_range(first, last)


def gaps(keep: set[int]) -> list[tuple[int, int]]:
    """The first and the last of each range of descriptors from 3 up that has none of `keep`; the last has no end."""
    found, low = [], 3
    for descriptor in sorted(fd for fd in keep if fd >= low):
        if low < descriptor:
            found.append((low, descriptor - 1))
        low = descriptor + 1
    return [*found, (low, _LAST)]


def may_be_somebody_else() -> bool:
    """False in the user namespace of an ordinary user, where there is no other account to take."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        return sum(int(line.split()[2]) for line in file) > 1
