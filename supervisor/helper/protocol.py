"""What passes between daemon and helper: the whole protocol, and but for helper.again all that both import.

One message is one SOCK_SEQPACKET datagram of JSON, at most MAX bytes. The daemon names a
declared container and a run number; there is no request by which it could name a path, a uid,
a capability or a command. Decoding any bytes either gives one of the values below or raises
ProtocolError.

Root's own side, `Declared`, comes to the helper from the process that read the files as root,
through a descriptor; the daemon never sends one. `Visit`, which does name a command, comes from root
through a socket that the daemon has no part in.
"""

import json
import os
import re
from typing import NamedTuple

from supervisor.errors import ProtocolError

MAX = 4096
VISIT_MAX = 65536
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
    "notify": {"state": str},
    "reload": {"apply": bool},
    "exit": {},
}
NOTIFY_STATES = frozenset({"READY=1", "STOPPING=1", "WATCHDOG=1"})


class Request(NamedTuple):
    do: str
    name: str = ""
    run: int = 0
    signal: int = 0
    state: str = ""
    apply: bool = False


def decode_request(data: bytes) -> Request:
    fields = _object(data)
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
    ended    name run code signal (exactly one is not -1): no process of the run is left
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
    code: int = -1
    signal: int = -1


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
    fields = _object(data)
    if not fields.keys() <= _REPORT_TYPES.keys() or "what" not in fields:
        raise ProtocolError("unknown keys")
    for key, value in fields.items():
        if type(value) is not _REPORT_TYPES[key] and not (_REPORT_TYPES[key] is float and type(value) is int):
            raise ProtocolError(f"{key} has the wrong type")
    return Report(**fields)


def _object(data: bytes, most: int = MAX) -> dict:  # type: ignore[type-arg]  # JSON: checked key by key
    if len(data) > most:
        raise ProtocolError(f"message of {len(data)} bytes")
    try:
        fields = json.loads(data)
    except (ValueError, RecursionError):
        raise ProtocolError("not JSON") from None
    if type(fields) is not dict:
        raise ProtocolError("not an object")
    return fields


# ── operator → helper ──────────────────────────────────────────────────────────────────

_VISIT = {"name": str, "argv": list, "tty": bool, "rows": int, "cols": int, "term": str}
_TERM = re.compile(r"[A-Za-z0-9._+-]{0,64}")


class Visit(NamedTuple):
    """A command to run in a live container, as its service runs; with `tty` in a terminal of rows and cols,
    whose kind the variable TERM tells.
    """

    name: str
    argv: tuple[str, ...]
    tty: bool = False
    rows: int = 0
    cols: int = 0
    term: str = ""


def decode_visit(data: bytes) -> Visit:
    fields = _object(data, VISIT_MAX)
    if fields.keys() != _VISIT.keys():
        raise ProtocolError("wrong keys")
    for key, kind in _VISIT.items():
        if type(fields[key]) is not kind:
            raise ProtocolError(f"{key} has the wrong type")
    if not (0 <= fields["rows"] < 1 << 16 and 0 <= fields["cols"] < 1 << 16):
        raise ProtocolError("number out of range")
    if not _TERM.fullmatch(fields["term"]):
        raise ProtocolError("term is not the name of a terminal")
    if not fields["argv"] or not fields["argv"][0] or not all(map(_is_argument, fields["argv"])):
        raise ProtocolError("argv is not a command")
    return Visit(**fields | {"argv": tuple(fields["argv"])})


def _is_argument(value: object) -> bool:
    """Whether it can be handed to execve(2)."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def encode_visit(visit: Visit) -> bytes:
    return json.dumps(visit._asdict()).encode()


# ── root → helper ──────────────────────────────────────────────────────────────────────


class Bind(NamedTuple):
    """One mount a container declared; `source` "" makes a tmpfs."""

    source: str
    target: str
    options: tuple[str, ...]


class Launch(NamedTuple):
    """All that is needed to launch one container, frozen by root. Words as in core.spec.Container;
    `cgroup` holds v2 file names and values, `capabilities` is the exact set, `rlimits` are (name,
    soft, hard), `ids` is the first of the container's 65,536 user and group ids on the host (-1: no
    user namespace of its own), `layer` the folder of a persistent writable layer, `filter` the place of
    its seccomp programs in `Declared.filters` (-1: none), `time_offsets` (clock, nanoseconds); `ambient`
    says that another user than root has the capabilities too, `spawn` that PID 1 may be confined as the service, `shim` that the
    filter lets it execute our shim.
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
    shim: bool = False


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
    (closed by the first daemon once all is started; -1 none), `lock` (held until the helper ends).
    `filters` are seccomp programs, what the kernel loads in hexadecimal, each entry loaded in its order;
    `origin` is where the files can be read again; `subtree` is the name of the instance's cgroup.
    """

    runtime_dir: str
    uid: int
    gid: int
    python: str
    spec: int
    ready: int
    lock: int
    containers: tuple[Launch, ...]
    filters: tuple[tuple[str, ...], ...] = ()
    origin: Origin = Origin("", "", 0o022, "", "")
    subtree: str = "supervisor"


def encode_declared(declared: Declared) -> bytes:
    return json.dumps(declared).encode()


def decode_declared(data: bytes) -> Declared:
    """The inverse of encode_declared; the bytes are root's own, so only their shape is restored."""
    declared = Declared(*_tuples(json.loads(data)))
    launches = tuple(Launch(*launch) for launch in declared.containers)
    return declared._replace(
        containers=tuple(one._replace(mounts=tuple(Bind(*bind) for bind in one.mounts)) for one in launches),
        origin=Origin(*declared.origin),
    )


def _tuples(value: object) -> tuple:  # type: ignore[type-arg]  # JSON lists, all the way down
    return tuple(_tuples(item) if isinstance(item, list) else item for item in value)  # type: ignore[attr-defined]
