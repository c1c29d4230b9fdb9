"""The container table: its keys, and the specs one merged table becomes."""

import os.path
from collections.abc import Iterator
from dataclasses import replace

from supervisor.config.cgroup import CGROUP
from supervisor.config.depends import DEPENDS
from supervisor.config.depends import build as build_depends
from supervisor.config.envfile import read_env_file
from supervisor.config.hooks import ON, build_hooks
from supervisor.config.identity import CAPABILITY_LIST, DEVICES, NAMESPACES, RLIMITS, TIME_OFFSETS
from supervisor.config.mounts import MOUNTS, host_path
from supervisor.config.place import Place
from supervisor.config.probes import COMMAND, HEALTH_SHAPE, READY_SHAPE, build_health, build_ready
from supervisor.config.restart import SHAPE as RESTART_SHAPE
from supervisor.config.restart import STOP, build_restart, build_stop
from supervisor.config.schedule import SHAPE as SCHEDULE_SHAPE
from supervisor.config.schedule import build_schedule
from supervisor.config.seccomp import BY_DEFAULT, SECCOMP
from supervisor.config.shapes import (
    BROKEN,
    Key,
    Keys,
    Shape,
    Table,
    leaf,
    list_of,
    mapping,
    pairs,
    pick,
    plain,
    table,
    words,
)
from supervisor.config.units import account, rate, size_from, user
from supervisor.config.values import (
    WrongError,
    env_name,
    env_value,
    flag,
    hostname,
    inside_path,
    show,
    whole,
)
from supervisor.core.spec import DEFAULT_PIDS_MAX, Container, Output

#: The kernel's HOST_NAME_MAX.
_HOSTNAME_MAX = 64
_REPLICAS_MAX = 10_000
#: A line must fit in memory many times over, and hold more than its own markup.
_LINE_MIN = 256
_MODES = ("overlay", "persistent", "direct", "read-only")


def _rootfs(value: object, place: Place) -> str:
    """Give "host", or a directory that is there."""
    if value == "host":
        return "host"
    root = host_path(value, place)
    if not os.path.isdir(root):
        raise WrongError(f'{show(root)} is not a directory (name one, or write "host")')
    return root


OUTPUT: Keys = {
    "format": Key(words("text", "json"), '"json": lines that are JSON objects become the field data'),
    "max_line": Key(
        leaf(size_from(_LINE_MIN), type=["string", "integer"]), "longer lines are split; default 64KiB"
    ),
    "on_full": Key(
        words("block", "drop"),
        'output that cannot be written waits, or is dropped and counted; default "block"',
    ),
    "rate": Key(
        leaf(rate, type="string", pattern=r"^[0-9]+(\.[0-9]+)?/[smh]$"),
        'lines beyond this are dropped and counted, like "10000/s"; default no limit',
    ),
}
CONTAINER: Keys = {
    "rootfs": Key(
        Shape(_rootfs, {"type": "string"}), 'a directory, or "host": a read-only view of this machine'
    ),
    "rootfs_mode": Key(words(*_MODES), 'how the root directory is used; default "overlay"'),
    "command": Key(COMMAND, "program and arguments, a list; never a shell"),
    "user": Key(
        leaf(user, type=["string", "integer"]), '"uid", "uid:gid" or names inside rootfs; default 0:0'
    ),
    "groups": Key(
        list_of(leaf(account, type=["string", "integer"])), "supplementary groups; nothing is inherited"
    ),
    "workdir": Key(leaf(inside_path, type="string", pattern="^/"), 'inside the container; default "/"'),
    "env": Key(mapping(env_name, leaf(env_value, type="string")), "variables; nothing is inherited"),
    "env_file": Key(Shape(read_env_file, {"type": "string"}), "NAME=value lines, merged under env"),
    "hostname": Key(leaf(hostname, type="string", maxLength=63), "default: the container's name"),
    "init": Key(leaf(flag, type="boolean"), "our init is PID 1; default true"),
    "replicas": Key(
        leaf(whole(1, _REPLICAS_MAX), type="integer", minimum=1, maximum=_REPLICAS_MAX),
        "N > 1 gives name.1 … name.N",
    ),
    "namespaces": Key(NAMESPACES, "default: all of them"),
    "network": Key(words("none", "host"), 'default "none": own namespace, loopback up'),
    "userns": Key(words("private", "host"), 'own range of user ids, or "host": none'),
    "capabilities": Key(CAPABILITY_LIST, "with or without CAP_; [] none"),
    "no_new_privileges": Key(leaf(flag, type="boolean"), "setuid programs gain nothing; default true"),
    "seccomp": Key(SECCOMP, '"default", "unconfined" or an OCI seccomp profile'),
    "rlimits": Key(RLIMITS, 'resource limits, a number or "unlimited"'),
    "time_offsets": Key(TIME_OFFSETS, "its clocks monotonic and boottime run ahead by this much"),
    "devices": Key(DEVICES, 'extra host device nodes, like "/dev/fuse"'),
    "mounts": Key(MOUNTS, "binds and tmpfs below the root"),
    "cgroup": Key(CGROUP, "cgroup v2 files and their values"),
    "restart": Key(RESTART_SHAPE, "when to start again"),
    "schedule": Key(SCHEDULE_SHAPE, "started at these times only, as cron has them"),
    "stop": Key(table(STOP), "how to stop"),
    "depends": Key(table(DEPENDS), "order among containers"),
    "ready": Key(READY_SHAPE, "absent: ready once exec succeeded"),
    "health": Key(HEALTH_SHAPE, "probes run by the supervisor, inside the container"),
    "output": Key(table(OUTPUT), "how output becomes records"),
    "on": Key(table(ON), "programs of the host, run without rights when something happens to it"),
}
#: Keys of the spec's own name and form; the others are built below.
_AS_IS = frozenset(
    {"rootfs", "rootfs_mode", "command", "user", "groups", "workdir", "init", "namespaces", "network"}
    | {"userns", "capabilities", "no_new_privileges", "devices", "mounts"}
)


def build(name: str, given: Table, place: Place) -> Iterator[Container]:
    """The containers of one merged table: itself, or `name.1` … `name.N`.

    Reports what is missing or does not fit together; then what it yields is not to be used.
    """
    for key, example in (("rootfs", 'rootfs = "host"'), ("command", 'command = ["/bin/program"]')):
        if key not in given:
            place.at(key).report(f"is missing (write {example})")
    fields = {key: value for key, value in plain(given).items() if key in _AS_IS}
    container = Container(
        **{"rootfs": "", "command": ()} | fields,
        name=name,
        service=name,
        env=tuple({**dict(pick(given, "env_file", ())), **dict(pairs(pick(given, "env", Table())))}.items()),
        hostname=pick(given, "hostname", ""),
        seccomp=pick(given, "seccomp", BY_DEFAULT).word,
        rlimits=pairs(pick(given, "rlimits", Table())),
        time_offsets=pairs(pick(given, "time_offsets", Table())),
        cgroup=_build_cgroup(pick(given, "cgroup", Table())),
        restart=build_restart(pick(given, "restart", Table())),
        stop=build_stop(pick(given, "stop", Table())),
        depends=build_depends(pick(given, "depends", Table())),
        ready=build_ready(pick(given, "ready", Table()), place.at("ready"))
        if _read(given, "ready")
        else None,
        health=build_health(pick(given, "health", Table()), place.at("health"))
        if _read(given, "health")
        else None,
        output=Output(**plain(pick(given, "output", Table()))),
        on=build_hooks(pick(given, "on", Table())),
    )
    if _read(given, "schedule"):
        built = build_schedule(given["schedule"].value, container.restart, place.at("schedule"))
        container = replace(container, schedule=built)
    yield from _replicate(container, pick(given, "replicas", 1), place)


def _read(given: Table, name: str) -> bool:
    """Whether it was written and could be read: nothing is missing in what was refused as a whole."""
    return name in given and given[name].value is not BROKEN


def _build_cgroup(given: Table) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"pids.max": DEFAULT_PIDS_MAX, **dict(pairs(given))}.items()))


def _replicate(container: Container, count: int, place: Place) -> Iterator[Container]:
    names = (
        [container.name] if count == 1 else [f"{container.name}.{number}" for number in range(1, count + 1)]
    )
    if not container.hostname and len(names[-1]) > _HOSTNAME_MAX:
        place.at("hostname").report(f"{show(names[-1])} is too long for a host name (write hostname)")
    for name in names:
        yield replace(container, name=name, hostname=container.hostname or name)
