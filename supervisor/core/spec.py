"""What root declared, as frozen values: the lowered form of the configuration files.

Durations are seconds (float), sizes bytes (int), signals their names ("SIGTERM").
Defaults are SPEC's own. Everything here has been validated by `supervisor.config`.
"""

from dataclasses import dataclass, field
from typing import Literal

from supervisor.core.backoff import RESTART, Backoff
from supervisor.core.seccomp import Profile
from supervisor.core.sinks import Sink

Policy = Literal["always", "on-failure", "unless-stopped", "never"]
RootfsMode = Literal["overlay", "persistent", "direct", "read-only"]

#: Without a `pids.max` of its own a container may hold this many processes.
DEFAULT_PIDS_MAX = "4096"
#: The namespaces a container gets when it does not say; net, user and time follow other keys.
DEFAULT_NAMESPACES = ("mount", "pid", "uts", "ipc", "cgroup")
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limit:
    """More than `failures` failures `within` seconds and the container is given up."""

    failures: int
    within: float


@dataclass(frozen=True, slots=True)
class Restart:
    policy: Policy = "on-failure"
    success: tuple[int, ...] = (0,)
    backoff: Backoff = RESTART
    reset_after: float = 10.0
    limit: Limit | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """`signal`, then after `timeout` seconds cgroup.kill."""

    signal: str = "SIGTERM"
    timeout: float = 10.0


@dataclass(frozen=True, slots=True)
class Mount:
    """A mount below the root. `source` is absolute for a bind, "" for a tmpfs.

    `options` are mount(8) words: ro rw nosuid suid nodev dev noexec exec, and for a
    tmpfs also size=BYTES and mode=OCTAL.
    """

    type: Literal["bind", "tmpfs"]
    target: str
    source: str = ""
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Depends:
    """Names are of containers, services (all replicas of it) or replicas.

    `succeeded` are those of them that must have ended well, not be ready; `requires` takes part in the order as `after` does.
    """

    after: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    succeeded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """`subject` is the command (exec), url (http), address (tcp) or pattern (log). `watchdog`, of type "notify"
    alone, are the seconds within which it says again and again that it is alive (None: it need not).
    """

    type: Literal["notify", "exec", "http", "tcp", "log"]
    subject: str | tuple[str, ...] = ""
    timeout: float = 30.0
    watchdog: float | None = None


@dataclass(frozen=True, slots=True)
class Health:
    type: Literal["exec", "http", "tcp"]
    subject: str | tuple[str, ...]
    interval: float = 10.0
    timeout: float = 2.0
    retries: int = 3
    start_period: float = 0.0
    action: Literal["restart", "none"] = "restart"


@dataclass(frozen=True, slots=True)
class Output:
    """`rate` is lines a second, None for no limit; `on_full` is what becomes of output that cannot be written."""

    format: Literal["text", "json"] = "text"
    max_line: int = 64 * KIB
    on_full: Literal["block", "drop"] = "block"
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """Started at the times of `cron` (crontab(5); six fields: seconds first) in `timezone`, an IANA name, and then only.

    `overlap`: what a time does that comes while a run is under way. `missed`: whether times that passed
    while no supervisor was there are made up for by one run.
    """

    cron: str
    timezone: str = "UTC"
    overlap: Literal["skip", "restart"] = "skip"
    missed: Literal["skip", "run"] = "skip"


@dataclass(frozen=True, slots=True)
class Hooks:
    """`commands` pairs an event (core.hooks.TRIGGERS) with a program of the host and its arguments.

    The same event runs it at most once in `window` seconds; it is killed after `timeout`.
    """

    commands: tuple[tuple[str, tuple[str, ...]], ...] = ()
    window: float = 60.0
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Container:
    """One container; a replica is a container of its own, named `service.N`.

    `cgroup` pairs a cgroup v2 file name with the exact text the v2 file takes, e.g.
    ("cpu.max", "10000 100000"), ("memory.max", "67108864"); `pids.max` is always there.
    `env` holds what was declared (env_file merged under env); the variables that the
    supervisor itself sets are added by the launcher.
    `capabilities` None means the default of the user namespace, names carry no CAP_.
    `time_offsets` are seconds by clock, "monotonic" or "boottime".
    """

    name: str
    rootfs: str
    command: tuple[str, ...]
    service: str = ""
    rootfs_mode: RootfsMode = "overlay"
    user: str = "0:0"
    groups: tuple[str, ...] = ()
    workdir: str = "/"
    env: tuple[tuple[str, str], ...] = ()
    hostname: str = ""
    init: bool = True
    namespaces: tuple[str, ...] = DEFAULT_NAMESPACES
    network: Literal["none", "host"] = "none"
    userns: Literal["private", "host"] = "private"
    capabilities: tuple[str, ...] | None = None
    no_new_privileges: bool = True
    seccomp: str = "default"
    rlimits: tuple[tuple[str, int], ...] = ()
    time_offsets: tuple[tuple[str, float], ...] = ()
    devices: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    cgroup: tuple[tuple[str, str], ...] = (("pids.max", DEFAULT_PIDS_MAX),)
    restart: Restart = Restart()
    stop: Stop = Stop()
    depends: Depends = Depends()
    ready: Ready | None = None
    health: Health | None = None
    output: Output = Output()
    on: Hooks = Hooks()
    schedule: Schedule | None = None


@dataclass(frozen=True, slots=True)
class Group:
    name: str
    members: tuple[str, ...]
    strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one"
    limit: Limit | None = None
    escalate: Literal["fail-group", "stop-supervisor"] = "fail-group"


@dataclass(frozen=True, slots=True)
class Logs:
    """`dir` is absolute. `keep` is bytes of closed segments a container, `keep_age` seconds since their last record."""

    dir: str
    segment: int = 64 * MIB
    segment_age: float = 86400.0
    keep: int = GIB
    keep_age: float | None = None
    compress: Literal["zstd", "gzip", "none"] = "zstd"
    sync: Literal["none", "1s", "always"] = "none"


@dataclass(frozen=True, slots=True)
class Monitor:
    interval: float = 1.0
    throttled_percent: float = 25.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The [supervisor] table. Folders are absolute; `id_pool` is (first, count) of the host's user and
    group ids that containers with a user namespace of their own share out, 65,536 each.
    `group` is the gid whose members may use the socket, None for root alone. `ship` has the sinks by name.
    """

    logs: Logs
    runtime_dir: str = "/run/supervisor"
    state_dir: str = "/var/lib/supervisor"
    id_pool: tuple[int, int] = (524288, 1878523904)
    user: str = "nobody"
    group: int | None = None
    monitor: Monitor = Monitor()
    restarts_per_second: float = 50.0
    ship: tuple[tuple[str, Sink], ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything one folder of TOML files declares; containers in file and line order.

    `seccomp` has the profile of each path that a container's key `seccomp` names.
    """

    settings: Settings
    containers: tuple[Container, ...] = ()
    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = field(default=())
    seccomp: tuple[tuple[str, Profile], ...] = ()
