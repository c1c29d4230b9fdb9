"""From a declared container to the ordered steps that confine it: pure, and data.

PID 1 of the container takes them, or it and the service that it forks (see helper.child), each list
in order, each step stopping the launch if it fails:

    first    PID 1: joins its cgroup and unshares
    aside    PID 1, if a forked service builds the root meanwhile: a network namespace takes its time
    root     whoever builds the root: out of sight, then it is entered
    service  gives up everything the service may not keep, then starts the program

Laws: mounts happen only between "private" and "enter"; every target is a path below the new
root; the host's privileges end with "userns", before the identity is taken; the identity is taken
before capabilities are; nothing follows them but no_new_privs, workdir, the filter and exec.
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
    """`filters` are for the init shim, which takes the service's own."""

    first: tuple[Step, ...]
    aside: tuple[Step, ...]
    root: tuple[Step, ...]
    service: tuple[Step, ...]
    filters: tuple[bytes, ...]


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

#: Hidden: what tells about the machine, or changes it, whoever may open it (OCI runtimes hide most of it).
#: Folders end with a slash. A kernel that has another kind of file there refuses the launch.
MASKED = {
    "/proc": (
        "acpi/", "asound/", "bus/", "config.gz", "driver/", "fs/", "interrupts", "iomem", "ioports", "irq/",
        "kallsyms", "kcore", "key-users", "keys", "kmsg", "kpagecgroup", "kpagecount", "kpageflags",
        "latency_stats", "modules", "mtrr", "pagetypeinfo", "partitions", "sched_debug", "scsi/", "slabinfo",
        "sysrq-trigger", "timer_list", "timer_stats", "vmallocinfo",
    ),
    "/sys": (
        "dev/block/", "devices/system/cpu/", "devices/virtual/powercap/", "firmware/", "fs/bpf/", "fs/pstore/",
        "kernel/",
    ),
}  # fmt: skip
#: Below /proc: shown and never written.
PROTECTED = ("sys", "sysvipc", "tty")
#: Where the folder with its sd_notify socket is shown: in a /dev of its own, so whatever its root is. By a folder, a
#: helper that comes after can put another socket there.
NOTIFY_FOLDER, NOTIFY_SOCKET = "/dev/supervisor", "notify"
#: (name, soft, hard) where nothing is declared: what systemd gives a service, and no core dumps.
DEFAULT_RLIMITS = (
    ("core", 0, 0), ("nofile", 1024, 524288), ("memlock", 8 << 20, 8 << 20), ("msgqueue", 819200, 819200),
)  # fmt: skip


def plan(launch: Launch, filters: tuple[tuple[bytes, ...], ...], *, rootless: bool) -> Steps:
    """`filters` are those of all containers, as `Declared` has them, decoded."""
    programs = filters[launch.filter] if launch.filter >= 0 else ()
    root = _inside(launch, rootless=rootless)
    return Steps(_first(launch), _aside(launch), root, _service(launch, programs), programs)


def _first(launch: Launch) -> tuple[Step, ...]:
    now = tuple(name for name in launch.namespaces if name != "net")
    steps = [
        Step("cgroup", "join"),
        Step("namespaces", "unshare", (now,)),
        Step("keyring", "keyring"),
        Step("mount", "private"),
    ]
    if launch.time_offsets:
        steps.append(Step("time", "shift-time", (launch.time_offsets,)))
    return tuple(steps)


def _forks(launch: Launch) -> bool:
    """Whether the service is a fork of PID 1, which builds the root while PID 1 waits."""
    return launch.init and not launch.spawn


def _aside(launch: Launch) -> tuple[Step, ...]:
    if "net" not in launch.namespaces or not _forks(launch):
        return ()
    return (Step("network", "network"),)


def _inside(launch: Launch, *, rootless: bool) -> tuple[Step, ...]:
    steps = []
    if launch.ids >= 0:
        steps.append(Step("user namespace", "own-ids"))
    steps += [Step("mask", "masks"), *_root(launch), *_kernel_mounts(launch)]
    steps += _dev(launch, rootless=rootless)
    steps += _network(launch)
    steps += [_declared_mount(bind) for bind in launch.mounts]
    if launch.notify:
        steps.append(Step("notify", "show-at", (launch.notify, NOTIFY_FOLDER, _SAFE | m.RDONLY)))
    if launch.no_new_privileges:
        steps.append(Step("mount", "no-setuid"))
    if launch.rootfs == "host" and launch.rootfs_mode == "read-only":
        steps.append(Step("mount", "seal"))
    if "uts" in launch.namespaces:
        steps.append(Step("hostname", "hostname", (launch.hostname,)))
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
        return (Step("root", "overlay-root", (launch.rootfs, "")),)
    if launch.rootfs_mode == "persistent":
        return (Step("root", "overlay-root", (launch.rootfs, launch.layer)),)
    return (Step("root", "bind-root", (launch.rootfs, m.RDONLY if launch.rootfs_mode == "read-only" else 0)),)


def _kernel_mounts(launch: Launch) -> tuple[Step, ...]:
    steps = [
        Step("mount", "mount-kernel", ("proc", "/proc", _SAFE)),
        Step("mask", "mask", ("/proc", MASKED["/proc"])),
        Step("mask", "protect", ("/proc", PROTECTED)),
        Step("dev", "dev"),
        Step("mount", "mount-dev", ("devpts", "pts", (("newinstance", ""), ("ptmxmode", "0666"), ("mode", "620")), m.NOSUID | m.NOEXEC)),
        Step("mount", "mount-dev", ("tmpfs", "shm", (("mode", "1777"), ("size", "64m")), _SAFE)),
    ]  # fmt: skip
    if "ipc" in launch.namespaces:
        steps.append(Step("mount", "mount-dev", ("mqueue", "mqueue", (), _SAFE)))
    return tuple(steps)


def _network(launch: Launch) -> tuple[Step, ...]:
    """A sysfs shows the network namespace of whoever mounts it."""
    own: tuple[Step, ...] = ()
    if "net" in launch.namespaces:
        own = (Step("network", "join-network" if _forks(launch) else "network"),)
    return (
        *own,
        Step("mount", "mount-kernel", ("sysfs", "/sys", _SAFE | m.RDONLY)),
        Step("mask", "mask", ("/sys", MASKED["/sys"])),
    )


def _dev(launch: Launch, *, rootless: bool) -> tuple[Step, ...]:
    # Only the real root may mknod; a user's own root is shown the machine's nodes instead.
    make = "show-node" if rootless else "node"
    return (
        *(Step("dev", make, (name, *number)) for name, number in NODES.items()),
        *(Step("device", "device", (path,)) for path in launch.devices),
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
    return Step("mount", "tmpfs", (bind.target, tuple(options), (_LAYER | added) & ~removed))


def _service(launch: Launch, programs: tuple[bytes, ...]) -> tuple[Step, ...]:
    return (
        Step("session", "session"),
        *rlimits(launch),
        Step("user", "output"),
        *confinement(launch, programs),
        *((Step("init", "await-init"),) if _forks(launch) else ()),
        Step("exec", "spawn" if launch.spawn else "exec", (launch.argv, _environment(launch))),
    )


def _environment(launch: Launch) -> tuple[tuple[str, str], ...]:
    """What was declared, and the words of sd_notify(3) and sd_watchdog_enabled(3)."""
    env = dict(launch.env)
    if launch.notify:
        env["NOTIFY_SOCKET"] = f"{NOTIFY_FOLDER}/{NOTIFY_SOCKET}"
    if launch.watchdog:
        env["WATCHDOG_USEC"] = str(launch.watchdog)
    return tuple(env.items())


def rlimits(launch: Launch) -> tuple[Step, ...]:
    declared = {limit[0] for limit in launch.rlimits}
    return (
        *(Step("rlimits", "lower-rlimit", limit) for limit in DEFAULT_RLIMITS if limit[0] not in declared),
        *(Step("rlimits", "rlimit", limit) for limit in launch.rlimits),
    )


def confinement(launch: Launch, programs: tuple[bytes, ...]) -> tuple[Step, ...]:
    """From the host's root to what the container may be, all but its execve."""
    steps = [Step("user namespace", "userns")] if launch.ids >= 0 else []
    steps.append(Step("capabilities", "bounding", (launch.capabilities,)))
    take = [
        Step("user", "become"),
        Step("capabilities", "capabilities", (launch.capabilities, launch.ambient)),
    ]
    filters = [Step("seccomp", "filter", (programs,))] if programs else []
    if not launch.no_new_privileges:
        # Only who still has CAP_SYS_ADMIN may load a filter then: the calls left must be allowed by it.
        return (*steps, *filters, *take, Step("workdir", "workdir", (launch.workdir,)))
    return (
        *steps,
        *take,
        Step("no_new_privileges", "no-new-privileges"),
        Step("workdir", "workdir", (launch.workdir,)),
        *filters,
    )
