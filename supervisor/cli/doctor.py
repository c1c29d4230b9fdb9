"""What this kernel and host offer, what a configuration needs of it, and what mends each lack.

Laws: all but `run` are functions of what `monitor.host.look` saw. A lack that nobody needs is told
and does no harm. A cure is one command.
"""

import json
import os
import re
import textwrap
from dataclasses import asdict, dataclass, replace

from supervisor.config.load import load
from supervisor.core.spec import Configuration, Container
from supervisor.errors import KernelError
from supervisor.kernel import cgroup, namespaces
from supervisor.monitor.host import UNLIMITED, Host, look

EVERY = "every container"
#: cgroup.kill came with 5.14; id-mapped mounts (5.12) and pidfds (5.3) are older.
OLDEST = (5, 14)
#: What the helper does as root: mounts, ids, device nodes, signals, other people's files.
PRIVILEGES = (
    "SYS_ADMIN",
    "SYS_CHROOT",
    "SETUID",
    "SETGID",
    "SETPCAP",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "KILL",
    "MKNOD",
    "NET_ADMIN",
)
#: Open files a container costs the daemon: cgroup files 8, FIFOs and pipes 4, log 2, pidfd, spare.
FDS_EACH, FDS_BASE = 16, 128
#: A key that stands for its controller when no configuration is given.
CONTROLLERS = {"cpu": "cpu.max", "memory": "memory.max", "pids": "pids.max", "io": "io.weight"}
BY_DEFAULT = ("mount", "pid", "uts", "ipc", "cgroup", "net", "user")

GET_KERNEL = "apt-get install linux-image-amd64 && reboot"
NO_V1 = (
    "echo 'GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX cgroup_no_v1=all\"' \\\n"
    "  > /etc/default/grub.d/cgroup.cfg && update-grub && reboot"
)
DELEGATE = "systemd-run --scope -p Delegate=yes supervisor start CONFIG"


@dataclass(frozen=True, slots=True)
class Finding:
    """`ok` None: neither good nor bad by itself. `needed_by` "": nothing of this configuration."""

    name: str
    ok: bool | None
    found: str
    needed_by: str = ""
    cure: str = ""


# ── judging ────────────────────────────────────────────────────────────────────────────


def examine(host: Host | None = None, configuration: Configuration | None = None) -> list[Finding]:
    """Everything found, marked with what of it the configuration (or any, if None) needs."""
    host = host or look()
    needed = needs(configuration, host)
    keys = {key for container in _containers(configuration) for key, _ in container.cgroup}
    findings = [
        _kernel(host),
        _cgroup(host),
        *(_controller(host, name, keys or set(CONTROLLERS.values())) for name in CONTROLLERS),
        *(_namespace(host, name) for name in namespaces.FLAGS),
        _overlay(host),
        Finding(
            "seccomp", host.seccomp, "filters" if host.seccomp else "not in this kernel", cure=GET_KERNEL
        ),
        _privileges(host),
        _resource(host),
        _open_files(host, len(_containers(configuration))),
    ]
    cured = (replace(found, cure="" if found.ok else found.cure) for found in findings)
    return [replace(found, needed_by=needed.get(found.name, "")) for found in cured]


def needs(configuration: Configuration | None, host: Host) -> dict[str, str]:
    """Finding's name → who needs it."""
    always = dict.fromkeys(("kernel", "cgroup v2", "privileges", "open files"), EVERY)
    containers = _containers(configuration)
    if configuration is None:
        by_default = ("controller pids", "overlay", "seccomp", *(f"namespace {name}" for name in BY_DEFAULT))
        return always | dict.fromkeys(by_default, EVERY)
    who: dict[str, list[str]] = {}
    for container in containers:
        for name in sorted(_wants(container, host)):
            who.setdefault(name, []).append(container.name)
    return always | {
        name: EVERY if len(by) == len(containers) > 1 else ", ".join(by) for name, by in who.items()
    }


def _wants(container: Container, host: Host) -> set[str]:
    wanted = {f"namespace {name}" for name in container.namespaces}
    wanted |= {f"controller {key.split('.', 1)[0]}" for key, _ in container.cgroup}
    if container.network == "none":
        wanted.add("namespace net")
    if container.userns == "private":
        wanted.add("namespace user")
    if container.rootfs_mode in {"overlay", "persistent"}:
        wanted.add("overlay")
    if container.seccomp != "unconfined":
        wanted.add("seccomp")
    if any(value > host.hard.get(name.lower(), UNLIMITED) for name, value in container.rlimits):
        wanted.add("CAP_SYS_RESOURCE")
    return wanted


def _containers(configuration: Configuration | None) -> tuple[Container, ...]:
    return configuration.containers if configuration else ()


def _kernel(host: Host) -> Finding:
    numbers = re.match(r"(\d+)\.(\d+)", host.release)
    recent = numbers is not None and (int(numbers[1]), int(numbers[2])) >= OLDEST
    return Finding("kernel", recent, host.release + ("" if recent else ", older than 5.14"), cure=GET_KERNEL)


def _cgroup(host: Host) -> Finding:
    v1 = ", ".join(sorted(name for name in host.layout.v1 if "=" not in name))
    if not host.layout.unified:
        mount = "mkdir -p /sys/fs/cgroup/unified &&\n  mount -t cgroup2 none /sys/fs/cgroup/unified"
        return Finding("cgroup v2", False, f"not mounted; v1: {v1 or 'none'}", cure=mount)
    kind = f"hybrid: v2 at {host.layout.root}, v1: {v1}" if v1 else f"unified at {host.layout.root}"
    if not host.writable:
        return Finding(
            "cgroup v2", False, f"{kind}; {host.layout.unified} cannot be written", cure=_delegate(host)
        )
    return Finding("cgroup v2", True, kind)


def _delegate(host: Host) -> str:
    if host.systemd:
        return DELEGATE.replace("--scope", "--user --scope") if host.uid else DELEGATE
    return "sudo supervisor start CONFIG" if host.uid else f"mount -o remount,rw {host.layout.root}"


def _controller(host: Host, name: str, keys: set[str]) -> Finding:
    """Usable if every wanted key of it has a hierarchy that takes it."""
    title = f"controller {name}"
    if host.layout.unified and name in host.controllers:
        return Finding(title, True, f"v2, {host.layout.unified}")
    wanted = sorted(key for key in keys if key.split(".", 1)[0] == name) or [CONTROLLERS[name]]
    refused = [key for key in wanted if not _placed(key, host)]
    v1 = host.layout.v1.get("blkio" if name == "io" else name)
    if not refused:
        return Finding(title, True, f"v1, {v1}")
    if v1:
        return Finding(title, False, f"v1 only, {v1}: cannot take {', '.join(refused)}", cure=NO_V1)
    if name in host.offered:
        echo = f"echo +{name} > {os.path.dirname(host.layout.unified)}/cgroup.subtree_control"
        return Finding(title, False, "in v2, not delegated to here", cure=DELEGATE if host.systemd else echo)
    enable = NO_V1.replace("cgroup_no_v1=all", "cgroup_enable=memory") if name == "memory" else GET_KERNEL
    return Finding(title, False, "not in this kernel", cure=enable)


def _placed(key: str, host: Host) -> bool:
    try:
        cgroup.place(key, host.layout, host.controllers)
    except KernelError:
        return False
    return True


def _namespace(host: Host, name: str) -> Finding:
    why = host.namespaces.get(name, "not tried")
    cure = "sudo supervisor start CONFIG" if host.uid else GET_KERNEL
    if host.sysctls.get("user.max_user_namespaces") == "0":
        if name == "user" or host.uid:
            why, cure = "user.max_user_namespaces is 0", "sysctl -w user.max_user_namespaces=65536"
    elif host.uid and host.sysctls.get("kernel.unprivileged_userns_clone") == "0":
        why, cure = "only root may make user namespaces", "sysctl -w kernel.unprivileged_userns_clone=1"
    elif host.uid and why and host.sysctls.get("kernel.apparmor_restrict_unprivileged_userns") == "1":
        why, cure = f"{why} (AppArmor)", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
    return Finding(f"namespace {name}", not why, why or "can be made", cure=cure)


def _overlay(host: Host) -> Finding:
    there = "overlay" in host.filesystems
    return Finding("overlay", there, "in this kernel" if there else "not loaded", cure="modprobe overlay")


def _privileges(host: Host) -> Finding:
    lacking = [name for name in PRIVILEGES if name not in host.capabilities]
    if host.uid == 0:
        lacks = f", but without {', '.join(lacking)}" if lacking else ", with all capabilities needed"
        cure = "systemd-run --pty supervisor start CONFIG"
        return Finding("privileges", not lacking, "root" + lacks, cure=cure)
    found = f"uid {host.uid}: one uid, in a user namespace of its own"
    possible = not host.namespaces.get("user", "not tried")
    return Finding("privileges", None if possible else False, found, cure="sudo supervisor start CONFIG")


def _resource(host: Host) -> Finding:
    there = "SYS_RESOURCE" in host.capabilities
    found = "there" if there else "lacking: hard rlimits cannot be raised above " + _own(host)
    cure = "systemd-run --pty -p LimitNOFILE=1048576 supervisor start CONFIG"
    return Finding("CAP_SYS_RESOURCE", there, found, cure=cure)


def _own(host: Host) -> str:
    return f"this shell's (nofile {host.hard.get('nofile', 0)})"


def _open_files(host: Host, containers: int) -> Finding:
    hard, wanted = host.hard.get("nofile", 0), FDS_BASE + FDS_EACH * containers
    enough = (hard - FDS_BASE) // FDS_EACH
    limit = "unlimited" if hard >= UNLIMITED else f"{hard}, enough for about {max(enough, 0)} containers"
    cure = f"prlimit --pid $$ --nofile={wanted}:{wanted}"
    return Finding("open files", hard >= wanted, limit, cure=cure)


# ── telling ────────────────────────────────────────────────────────────────────────────


def render(findings: list[Finding]) -> str:
    """A line or a few for each, within 80 columns; a cure is not wrapped, so that it can be pasted."""
    lines = []
    for found in findings:
        mark = "ok" if found.ok else "-" if found.ok is None or not found.needed_by else "LACKS"
        lines += textwrap.wrap(
            found.found, 80, initial_indent=f"{mark:6}{found.name:19}", subsequent_indent=" " * 25
        )
        if not found.ok and found.needed_by:
            lines += textwrap.wrap(
                f"needed by: {found.needed_by}", 74, initial_indent=" " * 6, subsequent_indent=" " * 8
            )
        if not found.ok and found.cure:
            lines += [
                f"    {'mend:' if not index else '     '} {line}"
                for index, line in enumerate(found.cure.split("\n"))
            ]
    lacking = [found.name for found in findings if lacks(found)]
    text = f"Needed and lacking: {', '.join(lacking)}." if lacking else "Everything needed is there."
    return "\n".join((*lines, "", *textwrap.wrap(text, 80)))


def as_json(findings: list[Finding]) -> str:
    return json.dumps([asdict(found) for found in findings], indent=2)


def lacks(found: Finding) -> bool:
    return found.ok is False and bool(found.needed_by)


def run(config: str | None, *, json_output: bool = False) -> int:
    """Exit code: 0 all that is needed is there, 1 something is lacking. ConfigError is the caller's."""
    host = look()
    findings = examine(host, load(config, root=host.uid == 0) if config else None)
    print(as_json(findings) if json_output else render(findings))
    return int(any(map(lacks, findings)))
