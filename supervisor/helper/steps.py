"""From a declared container to the ordered steps that confine it: pure, and data.

Three processes take the steps, each list in order, each step stopping the launch if it fails:

    outer    still in the helper's namespaces: joins the cgroup, unshares, forks the next
    inner    PID 1 of the container: builds its root out of sight, then enters it
    service  gives up everything it may not keep, then becomes the service

Laws: mounts happen only between "private" and "enter"; every target is a path below the new
root; the identity is taken before capabilities are, and nothing follows them but no_new_privs,
workdir and exec.
"""

from typing import NamedTuple

from supervisor.helper.protocol import Bind, Launch
from supervisor.kernel import mounts as m

_SAFE = m.NOSUID | m.NODEV | m.NOEXEC
_LAYER = m.NOSUID | m.NODEV


class Step(NamedTuple):
    """`op` names an operation of helper.operations; `stage` is what an operator reads if it fails."""

    stage: str
    op: str
    args: tuple = ()  # type: ignore[type-arg]  # each operation checks its own


class Steps(NamedTuple):
    outer: tuple[Step, ...]
    inner: tuple[Step, ...]
    service: tuple[Step, ...]


#: Read-only views of these are what `rootfs = "host"` shows of the machine's folders …
HOST_FOLDERS = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/etc/alternatives",
    "/etc/ssl/certs",
)
#: … these files are copied, being small and few, so that a container costs no mount for each …
HOST_FILES = (
    "/etc/passwd /etc/group /etc/nsswitch.conf /etc/hosts /etc/host.conf /etc/resolv.conf /etc/services "
    "/etc/protocols /etc/ld.so.cache /etc/ld.so.conf /etc/localtime /etc/timezone /etc/mime.types "
    "/etc/os-release /etc/debian_version /etc/ssl/openssl.cnf"
).split()
#: … and these are empty and the container's own.
OWN_FOLDERS = (
    ("/tmp", 0o1777), ("/var", 0o755), ("/var/tmp", 0o1777), ("/var/log", 0o755), ("/var/lib", 0o755),
    ("/run", 0o755), ("/root", 0o700), ("/home", 0o755), ("/srv", 0o755), ("/mnt", 0o755), ("/opt", 0o755),
    ("/proc", 0o555), ("/sys", 0o555), ("/dev", 0o755),
)  # fmt: skip

#: name → (major, minor), mode 0666 (Documentation/admin-guide/devices.txt).
NODES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
LINKS = (
    ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"), ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"), ("ptmx", "pts/ptmx"),
)  # fmt: skip


def plan(launch: Launch, *, rootless: bool) -> Steps:
    return Steps(_outer(launch), _inner(launch, rootless=rootless), _service(launch))


def _outer(launch: Launch) -> tuple[Step, ...]:
    return (
        Step("cgroup", "join"),
        Step("namespaces", "unshare", (launch.namespaces,)),
    )


def _inner(launch: Launch, *, rootless: bool) -> tuple[Step, ...]:
    steps = [Step("mount", "private"), *_root(launch), *_kernel_mounts(launch), *_dev(rootless=rootless)]
    steps += [_declared_mount(bind) for bind in launch.mounts]
    if launch.rootfs == "host" and launch.rootfs_mode == "read-only":
        steps.append(Step("mount", "seal"))
    if "uts" in launch.namespaces:
        steps.append(Step("hostname", "hostname", (launch.hostname,)))
    if "net" in launch.namespaces:
        steps.append(Step("network", "loopback"))
    return (*steps, Step("root", "enter"), Step("user", "lookup", (launch.user, launch.groups)))


def _root(launch: Launch) -> tuple[Step, ...]:
    if launch.rootfs == "host":
        return (
            Step("root", "tmpfs-root"),
            *(Step("root", "own", (path, mode)) for path, mode in OWN_FOLDERS),
            *(Step("root", "show", (path,)) for path in HOST_FOLDERS),
            *(Step("root", "copy", (path,)) for path in HOST_FILES),
        )
    if launch.rootfs_mode == "overlay":
        return (Step("root", "overlay-root", (launch.rootfs,)),)
    return (Step("root", "bind-root", (launch.rootfs, m.RDONLY if launch.rootfs_mode == "read-only" else 0)),)


def _kernel_mounts(launch: Launch) -> tuple[Step, ...]:
    steps = [
        Step("mount", "mount", ("proc", "/proc", (), _SAFE)),
        Step("mount", "mount", ("sysfs", "/sys", (), _SAFE | m.RDONLY)),
        Step("dev", "dev"),
        Step("mount", "mount", ("devpts", "/dev/pts", (("newinstance", ""), ("ptmxmode", "0666"), ("mode", "620")), m.NOSUID | m.NOEXEC)),
        Step("mount", "mount", ("tmpfs", "/dev/shm", (("mode", "1777"), ("size", "64m")), _SAFE)),
    ]  # fmt: skip
    if "ipc" in launch.namespaces:
        steps.append(Step("mount", "mount", ("mqueue", "/dev/mqueue", (), _SAFE)))
    return tuple(steps)


def _dev(*, rootless: bool) -> tuple[Step, ...]:
    # Only the real root may mknod; a user's own root is shown the machine's nodes instead.
    make = "show-node" if rootless else "node"
    return (
        *(Step("dev", make, (name, *number)) for name, number in NODES.items()),
        *(Step("dev", "link", (name, target)) for name, target in LINKS),
    )


def _declared_mount(bind: Bind) -> Step:
    added, removed, options = 0, 0, []
    for word in bind.options:
        added |= m.SET.get(word, 0)
        removed |= m.CLEAR.get(word, 0)
        if "=" in word:
            key, _, value = word.partition("=")
            options.append((key, value))
    if bind.source:
        return Step("mount", "bind", (bind.source, bind.target, added, removed))
    return Step("mount", "mount", ("tmpfs", bind.target, tuple(options), (_LAYER | added) & ~removed))


def _service(launch: Launch) -> tuple[Step, ...]:
    steps = [Step("session", "session")]
    steps += [Step("rlimits", "rlimit", limit) for limit in launch.rlimits]
    steps += [
        Step("user", "output"),
        Step("capabilities", "bounding", (launch.capabilities,)),
        Step("user", "become"),
        Step("capabilities", "capabilities", (launch.capabilities,)),
    ]
    if launch.no_new_privileges:
        steps.append(Step("no_new_privileges", "no-new-privileges"))
    return (
        *steps,
        Step("workdir", "workdir", (launch.workdir,)),
        Step("exec", "exec", (launch.argv, launch.env)),
    )
