"""What a check is, and how its outcome is read.

Laws: a check is one harmless attempt. It ends in one of three ways:

    open      it returned a string: what it reached
    blocked   it returned None, raised Denied, met an errno of refusal, or was killed for trying
    n/a       it raised Missing, or nothing confines this process and the kernel itself lacks the thing

Any other exception is a fault of the check, and is reported as "broken": an unexpected errno never passes
for a refusal. Standard library only, Python >= 3.9: the folder is bind-mounted into containers as it is.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any, NamedTuple, Optional

NAMESPACES = ("mnt", "pid", "net", "ipc", "uts", "cgroup", "user")
#: The caller is told that it may not, that there is no such thing here, or nobody is there.
REFUSALS = {
    errno.EPERM, errno.EACCES, errno.EROFS, errno.ELOOP, errno.EXDEV, errno.EBADF, errno.ENOTTY, errno.EIO,
    errno.ECONNREFUSED, errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL, errno.ENOKEY,
    errno.ENOTDIR, errno.EISDIR,
}  # fmt: skip
#: The same, but without any confinement only a kernel or a machine that lacks it says so.
ABSENCES = {
    errno.ENOSYS, errno.ENOENT, errno.ESRCH, errno.ENXIO, errno.ENODEV, errno.EAFNOSUPPORT, errno.EOPNOTSUPP,
    errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT,
}  # fmt: skip


class Denied(Exception):  # noqa: N818 - an outcome, not an error
    """Blocked, for the reason given."""


class Missing(Exception):  # noqa: N818 - an outcome, not an error
    """Not applicable, for the reason given."""


class Told(dict):  # type: ignore[type-arg]  # JSON
    """What the probe was told about the host that it must not reach (tests/escape/host.py writes it)."""

    def __missing__(self, key: str) -> Any:
        raise Missing(f"not told of the host's {key}")


Attempt = Callable[[Told], Optional[str]]  # noqa: UP045 - Python 3.9


class Check(NamedTuple):
    name: str
    severity: str  # "high" | "medium" | "low"
    wrong: str  # what would be wrong if the attempt succeeded
    attempt: Attempt


CHECKS: list[Check] = []


def check(severity: str, wrong: str) -> Callable[[Attempt], Attempt]:
    def register(attempt: Attempt) -> Attempt:
        add(attempt.__name__, severity, wrong, attempt)
        return attempt

    return register


def add(name: str, severity: str, wrong: str, attempt: Attempt) -> None:
    assert severity in {"high", "medium", "low"}
    assert name not in {one.name for one in CHECKS}, name
    CHECKS.append(Check(name, severity, wrong, attempt))


class Result(NamedTuple):
    outcome: str  # "open" | "blocked" | "n/a" | "broken"
    detail: str


def outcome(attempt: Attempt, host: Told) -> Result:
    """The attempt, carried out and read."""
    try:
        reached = attempt(host)
    except Denied as why:
        return Result("blocked", str(why))
    except Missing as why:
        return Result("n/a", str(why))
    except OSError as error:
        return of_errno(error, host)
    except Exception as error:  # noqa: BLE001 - a fault of the check is a result too
        return Result("broken", f"{type(error).__name__}: {error}")
    return Result("blocked", "") if reached is None else Result("open", reached)


def of_errno(error: OSError, host: Told) -> Result:
    said = word(error) + (f" {error.filename!r}" if error.filename else "")
    if error.errno in ABSENCES:
        return Result("n/a" if unconfined(host) else "blocked", said)
    return Result("blocked" if error.errno in REFUSALS else "broken", said)


def word(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


def unconfined(host: Told) -> bool:
    """In the host's own namespaces with no filter: what fails here, the kernel itself refuses."""
    return (
        "ns" in host
        and status("Seccomp") == "0"
        and all(at_home(host, kind) for kind in ("mnt", "pid", "user"))
    )


def at_home(host: Told, kind: str) -> bool:
    """Whether this process is in the host's namespace of a kind."""
    try:
        return bool(os.readlink(f"/proc/self/ns/{kind}") == host["ns"][kind])
    except OSError:
        return False


def status(field: str, pid: str = "self") -> str:
    """A field of /proc/PID/status (proc_pid_status(5))."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(field + ":"):
                return line.partition(":")[2].strip()
    raise Missing(f"/proc/{pid}/status has no {field}")


def text(path: str, size: int = 1 << 20) -> str:
    """The beginning of a file, not blocking on FIFOs and devices."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    found = b""
    try:
        # The kernel gives its own files a page at a time.
        while len(found) < size and (more := os.read(fd, size - len(found))):
            found += more
    finally:
        os.close(fd)
    return found.decode(errors="replace")


def opens(path: str, flags: int) -> str:
    """Open and close again, touching nothing: what was opened, or OSError."""
    os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    return path


def any_opens(paths: list[str], flags: int) -> str | None:
    """The first of these that can be opened; else the last refusal is raised."""
    refusal: OSError | None = None
    for path in paths:
        try:
            return opens(path, flags)
        except OSError as error:
            if refusal is None or error.errno not in ABSENCES:
                refusal = error
    if refusal:
        raise refusal
    return None


def _inherited() -> dict[int, os.stat_result]:
    found = {}
    for fd in range(4096):
        try:
            fcntl.fcntl(fd, fcntl.F_GETFD)
            found[fd] = os.fstat(fd)
        except OSError:
            continue
    return found


#: How this process began, noted before it opens anything itself.
INHERITED = _inherited()
MAIN = os.getpid()
