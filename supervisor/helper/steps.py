"""From a declared container to the ordered steps that confine it: pure, and data.

PID 1 of the container takes them, or it and the service that it forks, each list in order, each step stopping the
launch if it fails:

    root     PID 1: joins its cgroup, unshares, builds the root out of sight, enters it, reads who the user is
    service  PID 1, or the service itself: gives up everything the service may not keep
    child    what is left to the service, if PID 1 forks it; at its end it starts the program
    init     what PID 1 does meanwhile, before it becomes the init shim

PID 1 takes the service's steps itself, and forks at their end, unless there are such that are the service's alone
(declared limits, a seccomp profile of its own). With init = false there is no fork, and PID 1 becomes the program.

Laws: mounts happen only between "private" and "enter"; every target is a path below the new
root; the host's privileges end with "userns", before the identity is taken; the identity is taken
before capabilities are; nothing follows them but no_new_privs, workdir, the filter and the program.
"""

from typing import NamedTuple

from supervisor.helper.accounts import Account
from supervisor.helper.protocol import Bind, Launch
from supervisor.kernel import mounts as m

_SAFE = m.NOSUID | m.NODEV | m.NOEXEC
_LAYER = m.NOSUID | m.NODEV

Filters = tuple[bytes, ...]
Nodes = tuple[tuple[str, int, int], ...]


class Step(NamedTuple):
    """`op` names an operation of helper.operations; `stage` is what an operator reads if it fails."""

    stage: str
    op: str
    args: tuple = ()  # type: ignore[type-arg]  # each operation checks its own


class Steps(NamedTuple):
    """After the root, once it is known who the user is."""

    service: tuple[Step, ...]
    child: tuple[Step, ...]
    init: tuple[Step, ...]


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


def building(launch: Launch, nodes: Nodes, *, rootless: bool) -> tuple[Step, ...]:
    """`nodes` are the declared devices, as helper.devices has looked at them."""
    now = tuple(name for name in launch.namespaces if name != "net")
    steps = [
        Step("launch", "take-places"),
        Step("cgroup", "join"),
        Step("namespaces", "unshare", (now,)),
        Step("keyring", "keyring"),
        Step("mount", "private"),
    ]
    if launch.time_offsets:
        steps.append(Step("time", "shift-time", (launch.time_offsets,)))
    return (*steps, *_inside(launch, nodes, rootless=rootless))


def serving(launch: Launch, filters: Filters, account: Account) -> Steps:
    """`filters` are the container's own, of all that `Declared` has."""
    introduce = Step("exec", "introduce")
    own = (
        Step("session", "session"),
        *rlimits(launch),
        Step("user", "output", (account.uid,)),
        *confinement(launch, filters, account),
    )
    start = Step("exec", "exec", (launch.argv, _environment(launch), account.home))
    part = Step("init", "part")
    if not launch.init:
        return Steps((introduce, *own, start), (), ())
    if launch.spawn:
        let_go = (Step("init", "let-go"), *_nothing(), part)
        return Steps(own, (introduce, Step("session", "lead"), start), let_go)
    return Steps(
        (Step("init", "word"),),
        (introduce, *own, Step("init", "await-word"), start),
        (*_giving_up(launch, filters, account), Step("init", "give-word"), part),
    )


def _giving_up(launch: Launch, filters: Filters, account: Account) -> tuple[Step, ...]:
    """All that the shim does not need: privileges, the service's output, other descriptors."""
    return (
        *((Step("user namespace", "userns"),) if launch.ids >= 0 else ()),
        Step("init", "let-go"),
        Step("capabilities", "bounding", ((),)),
        Step("no_new_privileges", "no-new-privileges"),
        Step("user", "become", account[:3]),
        *_nothing(),
        *((Step("seccomp", "filter", (filters,)),) if filters else ()),
    )


def _nothing() -> tuple[Step, ...]:
    """No capability, and none is gained by what is executed from here on."""
    return (
        Step("capabilities", "capabilities", ((), True)),
        Step("init", "undumpable"),
        Step("no_new_privileges", "no-new-privileges"),
    )


def _inside(launch: Launch, nodes: Nodes, *, rootless: bool) -> tuple[Step, ...]:
    steps = []
    if launch.ids >= 0:
        steps.append(Step("user namespace", "own-ids"))
    steps += [Step("mask", "masks"), *_root(launch), *_kernel_mounts(launch)]
    steps += _dev(nodes, rootless=rootless)
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
    return (*steps, Step("root", "enter"))


def _root(launch: Launch) -> tuple[Step, ...]:
    if launch.rootfs == "host":
        return (
            Step("root", "tmpfs-root"),
            *(Step("root", "own", (path, mode)) for path, mode in OWN_FOLDERS),
            *(Step("root", "show", (path, at)) for at, path in enumerate(HOST_FOLDERS)),
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
        own = (Step("network", "network"),)
    return (
        *own,
        Step("mount", "mount-kernel", ("sysfs", "/sys", _SAFE | m.RDONLY)),
        Step("mask", "mask", ("/sys", MASKED["/sys"])),
    )


def _dev(nodes: Nodes, *, rootless: bool) -> tuple[Step, ...]:
    # Only the real root may mknod; a user's own root is shown the machine's nodes instead.
    make = "show-node" if rootless else "node"
    return (
        *(Step("dev", make, (name, *number)) for name, number in NODES.items()),
        *(Step("device", "device", one) for one in nodes),
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


def confinement(launch: Launch, filters: Filters, account: Account) -> tuple[Step, ...]:
    """From the host's root to what the container may be, all but its execve.

    Default capabilities are what root would have: to another user they are only a bound (`ambient` False).
    """
    root = account.uid == 0
    names = launch.capabilities if root or launch.ambient else ()
    steps = [Step("user namespace", "userns")] if launch.ids >= 0 else []
    steps.append(Step("capabilities", "bounding", (launch.capabilities,)))
    take = [Step("user", "become", account[:3]), Step("capabilities", "capabilities", (names, root))]
    workdir = Step("workdir", "workdir", (launch.workdir,))
    loaded = [Step("seccomp", "filter", (filters,))] if filters else []
    if not launch.no_new_privileges:
        # Only who still has CAP_SYS_ADMIN may load a filter then: the calls left must be allowed by it.
        return (*steps, *loaded, *take, workdir)
    return (*steps, *take, Step("no_new_privileges", "no-new-privileges"), workdir, *loaded)
