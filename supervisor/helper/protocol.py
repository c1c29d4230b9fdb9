"""What passes between daemon and helper: the whole protocol, and but for helper.again all that both import.

One message is one SOCK_SEQPACKET datagram of JSON, at most MAX bytes. The daemon names a
declared container and a run number; there is no request by which it could name a path, a uid,
a capability or a command. Decoding any bytes either gives one of the values below or raises
ProtocolError.

Root's own side, `Declared`, comes to the helper from the process that read the files as root,
through a descriptor; the daemon never sends one. What operators ask of the helper is in helper.asked.
"""

import json
from typing import NamedTuple

from supervisor.errors import ProtocolError

MAX = 4096
IDS = 65536  # user and group ids of a container with a user namespace of its own
_MAX_NAME = 80  # of ASCII: no declared container has a longer one
_MAX_RUN, _MAX_SIGNAL = 1 << 53, 64

# ── daemon → helper ────────────────────────────────────────────────────────────────────

#: Request → the keys it carries beside "do", with their types. Nothing else is understood.
REQUESTS: dict[str, dict[str, type]] = {
    "launch": {"name": str, "run": int},
    "signal": {"name": str, "run": int, "signal": int},
    "kill": {"name": str, "run": int},
    "remove": {"name": str},
    "probe": {"name": str, "run": int, "kind": str},
    "notify": {"state": str},
    "reload": {"apply": bool},
    "exit": {},
}
NOTIFY_STATES = frozenset({"READY=1", "STOPPING=1", "WATCHDOG=1"})
#: What root declares of a container to be looked at.
PROBES = ("ready", "health", "notify")


class Request(NamedTuple):
    do: str
    name: str = ""
    run: int = 0
    signal: int = 0
    state: str = ""
    apply: bool = False
    kind: str = ""


def decode_request(data: bytes) -> Request:
    fields = decode_object(data)
    do = fields.pop("do", None)
    shape = REQUESTS.get(do) if isinstance(do, str) else None
    if shape is None or fields.keys() != shape.keys():
        raise ProtocolError("unknown request or wrong keys")
    for key, kind in shape.items():
        if type(fields[key]) is not kind:  # not isinstance: True is not a run number
            raise ProtocolError(f"{key} has the wrong type")
    request = Request(do, **fields)
    if len(request.name) > _MAX_NAME or not request.name.isascii():
        raise ProtocolError("no container has such a name")
    if not 0 <= request.run < _MAX_RUN or not 0 <= request.signal <= _MAX_SIGNAL:
        raise ProtocolError("number out of range")
    if request.do == "notify" and request.state not in NOTIFY_STATES:
        raise ProtocolError("unknown state")
    if request.do == "probe" and request.kind not in PROBES:
        raise ProtocolError("no such probe")
    return request


def encode_request(request: Request) -> bytes:
    shape = REQUESTS[request.do]
    return json.dumps({"do": request.do} | {key: getattr(request, key) for key in shape}).encode()


# ── helper → daemon ────────────────────────────────────────────────────────────────────


class Report(NamedTuple):
    """One thing that happened; `what` says which of the fields mean something.

    started  name run pid launch_ms adopted stale unified cpu; PID 1's pidfd comes with it. `stale`: root has
             declared it anew since, so that its next run will be another
    refused  name run stage errno path hint: the run never reached exec, nothing of it is left
    ended    name run code signal core, as in kernel.status: no process of the run is left
    removed  name: its cgroup and FIFOs are gone; path and errno say what could not be removed
    denied   name run path: a request that was not acted on, and why
    told     everything that lives or ended before this daemon came has been reported
    asked    path: "stop" | "stop-now" | "reload", a signal the helper got
    limits   name run: new limits of a live run are in force; path errno hint: or why one is not
    read     the files have been read, and with `applied` are what is declared from now on; the daemon's part of
             them comes with it, as a sealed memory file of JSON
    unread   path: the files say nothing that could be declared, nothing has changed; a memory file with
             every problem, JSON [[file, line, key, text], …], comes with it where there are any
    visited  name run pid path: the operator whose process is pid runs the command path in it
    probing  name run path: the probe that path names is under way, and a connection comes with it over which its
             end is told; of "notify" it is the socket that its sd_notify words come to, from user ids of which
             `ids` is the first (-1: of the host)
    probed   name run path: nothing of that probe is left

    Over a probe's connection, once:

    ended    name run code signal path hint: code 0 is well; path is what it said last, hint "timeout", and stage
             "network" where it was no command
    refused  name run stage errno path hint: it could not be made

    To an operator who asked for a Visit, over exec.sock:

    streams  the command's terminal, or else its stdin, stdout and stderr, come with it
    refused  name run stage errno path hint: the command was not executed
    denied   name path hint: nor even begun; path says why, hint is the code of a RequestError
    ended    name run code signal: of the command itself
    """

    what: str
    name: str = ""
    run: int = 0
    pid: int = 0
    launch_ms: float = 0.0
    adopted: bool = False
    stale: bool = False
    applied: bool = False
    unified: str = ""
    cpu: str = ""
    stage: str = ""
    errno: int = 0
    path: str = ""
    hint: str = ""
    ids: int = -1
    code: int = -1
    signal: int = -1
    core: bool = False


_REPORT_TYPES = {name: type(default) for name, default in Report._field_defaults.items()} | {"what": str}


def encode_report(report: Report) -> bytes:
    data = _encode(report)
    if len(data) > MAX:  # only paths can be that long; JSON makes at most 12 bytes of a character
        return _encode(report._replace(path=report.path[-200:], hint=report.hint[:50]))
    return data


def _encode(report: Report) -> bytes:
    defaults = Report._field_defaults
    return json.dumps({k: v for k, v in report._asdict().items() if v != defaults.get(k)}).encode()


def decode_report(data: bytes) -> Report:
    fields = decode_object(data)
    if not fields.keys() <= _REPORT_TYPES.keys() or "what" not in fields:
        raise ProtocolError("unknown keys")
    for key, value in fields.items():
        if type(value) is not _REPORT_TYPES[key] and not (_REPORT_TYPES[key] is float and type(value) is int):
            raise ProtocolError(f"{key} has the wrong type")
    return Report(**fields)


def decode_object(data: bytes, most: int = MAX) -> dict:  # type: ignore[type-arg]  # JSON: checked key by key
    """What it holds, nothing of it checked yet."""
    if len(data) > most:
        raise ProtocolError(f"message of {len(data)} bytes")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise ProtocolError("not JSON") from None
    if type(fields) is not dict:
        raise ProtocolError("not an object")
    return fields


# ── root → helper ──────────────────────────────────────────────────────────────────────


class Bind(NamedTuple):
    """One mount a container declared; `source` "" makes a tmpfs."""

    source: str
    target: str
    options: tuple[str, ...]


class Probe(NamedTuple):
    """How a container is looked at: the command `argv` is run in it, or else `port` of one of `hosts`, which are
    addresses, is connected to in its network namespace; `says`, unless it is "", is sent then, and an HTTP
    answer of 2xx or 3xx is well. It ends within `timeout` seconds.
    """

    timeout: float
    argv: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    port: int = 0
    says: str = ""


class Launch(NamedTuple):
    """All that is needed to launch one container, frozen by root. Words as in core.spec.Container;
    `cgroup` holds v2 file names and values, `capabilities` is the exact set, `rlimits` are (name,
    soft, hard), `ids` is the first of the container's 65,536 user and group ids on the host (-1: no
    user namespace of its own), `layer` the folder of a persistent writable layer, `filter` the place of
    its seccomp programs in `Declared.filters` (-1: none), `time_offsets` (clock, nanoseconds); `ambient`
    says that another user than root has the capabilities too, `spawn` that PID 1 may be confined as the service. `notify` is the folder of its sd_notify socket ("": none), `watchdog` in
    microseconds how often a word must come there (0: never).
    """

    name: str
    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    rootfs: str
    rootfs_mode: str
    user: str
    groups: tuple[str, ...]
    workdir: str
    hostname: str
    init: bool
    namespaces: tuple[str, ...]
    mounts: tuple[Bind, ...]
    capabilities: tuple[str, ...]
    no_new_privileges: bool
    rlimits: tuple[tuple[str, int, int], ...]
    cgroup: tuple[tuple[str, str], ...]
    devices: tuple[str, ...] = ()
    ids: int = -1
    layer: str = ""
    filter: int = -1
    time_offsets: tuple[tuple[str, int], ...] = ()
    ambient: bool = True
    spawn: bool = False
    ready: Probe | None = None
    health: Probe | None = None
    notify: str = ""
    watchdog: int = 0


class Origin(NamedTuple):
    """Where root's files are, as `supervisor start` was told: `path` as it was typed, the working directory and
    umask it is to be understood in, the runtime directory if one was named beside the files, and without
    root the folder that stands for $XDG_RUNTIME_DIR.
    """

    path: str
    cwd: str
    umask: int
    runtime_dir: str
    session_dir: str


class Declared(NamedTuple):
    """What root hands the helper at start: folders, the daemon's account, and the table of containers.

    `python` runs the daemon; descriptors: `spec` (what the daemon supervises, as JSON), `ready`
    (closed by the first daemon once all is started; -1 none), `locks` (held until the helper ends).
    `filters` are seccomp programs, what the kernel loads in hexadecimal, each entry loaded in its order;
    `origin` is where the files can be read again; `subtree` is the name of the instance's cgroup.
    """

    runtime_dir: str
    uid: int
    gid: int
    python: str
    spec: int
    ready: int
    locks: tuple[int, ...]
    containers: tuple[Launch, ...]
    filters: tuple[tuple[str, ...], ...] = ()
    origin: Origin = Origin("", "", 0o022, "", "")
    subtree: str = "supervisor"


def encode_declared(declared: Declared) -> bytes:
    return json.dumps(declared).encode()


def decode_declared(data: bytes) -> Declared:
    """The inverse of encode_declared; the bytes are root's own, so only their shape is restored."""
    declared = Declared(*_tuples(json.loads(data)))
    return declared._replace(
        containers=tuple(_launch(Launch(*fields)) for fields in declared.containers),
        origin=Origin(*declared.origin),
    )


def _launch(one: Launch) -> Launch:
    return one._replace(
        mounts=tuple(Bind(*bind) for bind in one.mounts),
        ready=one.ready and Probe(*one.ready),
        health=one.health and Probe(*one.health),
    )


def _tuples(value: object) -> tuple:  # type: ignore[type-arg]  # JSON lists, all the way down
    return tuple(_tuples(item) if isinstance(item, list) else item for item in value)  # type: ignore[attr-defined]
