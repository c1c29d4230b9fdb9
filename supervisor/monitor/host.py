"""What this machine offers, as one process of it sees it.

Laws: looking changes nothing: namespaces are tried in a child that ends at once. What cannot be
read counts as not there. No trio here: the command line imports this.
"""

import os
import resource
from dataclasses import dataclass, field

from supervisor.errors import KernelError
from supervisor.kernel import caps, cgroup, namespaces

NOWHERE = cgroup.Layout("", "", {})
#: Stands for RLIM_INFINITY, so that limits compare as numbers.
UNLIMITED = 1 << 64
SYSCTLS = (
    "user.max_user_namespaces",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
)


@dataclass(frozen=True, slots=True)
class Host:
    """The machine as one process sees it. `namespaces` maps each to why it cannot be had, or ""."""

    release: str = "0.0"
    layout: cgroup.Layout = NOWHERE
    controllers: frozenset[str] = frozenset()
    offered: frozenset[str] = frozenset()
    writable: bool = False
    systemd: bool = False
    namespaces: dict[str, str] = field(default_factory=dict)
    filesystems: frozenset[str] = frozenset()
    seccomp: bool = False
    uid: int = 0
    capabilities: frozenset[str] = frozenset()
    sysctls: dict[str, str] = field(default_factory=dict)
    hard: dict[str, int] = field(default_factory=dict)


def look() -> Host:
    found = layout()
    status = dict(line.split(":\t", 1) for line in _text("/proc/self/status").splitlines() if ":\t" in line)
    effective = int(status.get("CapEff", "0"), 16)
    sysctls = {name: _text("/proc/sys/" + name.replace(".", "/")).strip() for name in SYSCTLS}
    return Host(
        release=os.uname().release,
        layout=found,
        controllers=frozenset(_text(f"{found.unified}/cgroup.controllers").split()),
        offered=frozenset(_text(f"{found.root}/cgroup.controllers").split()),
        writable=bool(found.unified) and os.access(found.unified, os.W_OK),
        systemd=os.path.isdir("/run/systemd/system"),
        namespaces={name: attempt(name) for name in namespaces.FLAGS},
        filesystems=frozenset(_text("/proc/filesystems").split()),
        seccomp="Seccomp" in status,
        uid=os.geteuid(),
        capabilities=frozenset(name for bit, name in enumerate(caps.NAMES) if effective >> bit & 1),
        sysctls={name: value for name, value in sysctls.items() if value},
        hard=_hard_limits(),
    )


def layout() -> cgroup.Layout:
    """Where this process's cgroups are; empty without /proc."""
    try:
        return cgroup.here()
    except OSError:
        return NOWHERE


def attempt(name: str) -> str:
    """Why a namespace cannot be had, or "": a forked child makes one and ends.

    Without root, as `start` does: inside a user namespace of one's own.
    """
    wanted = (name,) if os.geteuid() == 0 or name == "user" else ("user", name)
    child = os.fork()
    if child == 0:
        code = 255
        try:
            namespaces.unshare(wanted)
            code = 0
        except KernelError as failure:
            code = failure.errno
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return "" if status == 0 else os.strerror(status)


def _hard_limits() -> dict[str, int]:
    """By the configuration's names; unlimited is a very large number."""
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    pairs = ((name[7:].lower(), resource.getrlimit(getattr(resource, name))[1]) for name in names)
    return {name: UNLIMITED if hard == resource.RLIM_INFINITY else hard for name, hard in pairs}


def _text(path: str) -> str:
    """A file of the kernel's; "" if there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""
