"""What travels over the API, as msgspec Structs: requests are decoded by them, OpenAPI is drawn from them.

Laws: requests are decoded strictly (an unknown key or parameter is an error); answers may
carry more keys than are named here, never fewer.
"""

import signal
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from supervisor.errors import RequestError

T = TypeVar("T")

#: A container's name, or a replica's ("web.3"). It can never leave a folder.
NAME = r"^[a-z0-9][a-z0-9_-]{0,62}(\.[0-9]{1,6})?$"
Name = Annotated[str, Meta(pattern=NAME)]
State = Literal["waiting", "starting", "running", "stopping", "backoff", "exited", "failed", "stopped"]
Text = Annotated[str, Meta(max_length=1024)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]


class Nothing(Struct, forbid_unknown_fields=True):
    """An empty object, or no body at all."""


class Kill(Struct, forbid_unknown_fields=True):
    signal: Annotated[str, Meta(pattern="^SIG[A-Z0-9+-]{1,12}$")] = "SIGTERM"


class Names(Struct, forbid_unknown_fields=True):
    name: list[Name] = []


class EventsQuery(Struct, forbid_unknown_fields=True, kw_only=True):
    """`n`: the last N records, absent: all. Times: RFC 3339, or as `supervisor logs --since` takes them.

    `level`: that one and what is graver. `field`: KEY=VALUE, the key dotted. `reverse`: the newest first.
    There is no regular expression: one can take for ever, so it is for the caller to apply.
    """

    n: Count | None = None
    follow: bool = False
    reverse: bool = False
    since: Text | None = None
    until: Text | None = None
    level: Text | None = None
    run: Annotated[int, Meta(ge=0)] | None = None
    field: Annotated[list[Text], Meta(max_length=16)] = []


class LogsQuery(EventsQuery, forbid_unknown_fields=True, kw_only=True):
    """`events`: the supervisor's records about the named containers too."""

    name: list[Name] = []
    events: bool = False
    stream: Literal["stdout", "stderr"] | None = None


class WhyQuery(Struct, forbid_unknown_fields=True):
    """`n`: the newest N runs, absent: all that are remembered."""

    n: Count | None = None


class Info(Struct):
    """`pid` is the helper's, the process `supervisor start` became. `helper` is false when that has died: containers and
    their logs go on, and nothing can be changed until the next `start` takes them over. `log_id` is "DEVICE:INODE" of the
    folder `log_dir`, for who may see another one under that name.
    """

    version: str
    runtime_dir: str
    log_dir: str
    pid: int
    started_at: str
    helper: bool = True
    log_id: str = ""


class Exit(Struct):
    """Exactly one of `code` and `signal` is set."""

    code: int | None = None
    signal: int | str | None = None
    oom: bool = False
    reason: str | None = None


class Cpu(Struct):
    """`percent` is of one CPU over the last interval; `quota_usec` null means no cap."""

    usage_usec: int | None = None
    nr_periods: int | None = None
    nr_throttled: int | None = None
    throttled_usec: int | None = None
    quota_usec: int | None = None
    period_usec: int | None = None
    percent: float | None = None
    throttled_percent: float | None = None


class Memory(Struct):
    """Bytes; null where the kernel has no such file."""

    current: int | None = None
    max: int | None = None
    oom_kill: int | None = None


class Container(Struct):
    """`uptime_s` of the present run; `output_waiting` bytes wait in its pipes because they cannot be written.

    `next_run`: when its schedule starts it next.
    """

    name: str
    state: State
    ready: bool
    run: int
    restarts: int
    healthy: bool | None = None
    pid: int | None = None
    started_at: str | None = None
    exit: Exit | None = None
    cgroup: str | None = None
    cpu: Cpu | None = None
    memory: Memory | None = None
    uptime_s: float | None = None
    output_waiting: int = 0
    next_run: str | None = None


class Sink(Struct):
    """Where records are shipped to. `shipped` and `dropped` count records; `oldest` is the `ts` of the first of
    those on their way, null when everything has been shipped.
    """

    name: str
    type: Literal["http", "otlp", "syslog", "journald"]
    state: Literal["idle", "shipping", "failing"]
    shipped: int
    dropped: int
    oldest: str | None = None
    failing_since: str | None = None
    error: str | None = None


class Why(Struct):
    """`summary` and `slow` are sentences; `runs` are the newest first, each with its last lines as `output`."""

    name: str
    summary: str
    state: str
    at: str
    runs: list[dict[str, Any]]
    slow: str | None = None


class Stopping(Struct):
    """The supervisor stops; it is gone when process `pid` is."""

    pid: int


class Change(Struct):
    """`keys` are those of the container's table that cause it, such as "cgroup.cpu.max"."""

    name: str
    keys: list[str]


class Plan(Struct):
    """`changed` are changed in place, without a restart; `settings` are keys of [supervisor] and of groups.

    `failed` says, by container, what a reload could not do; a plan has none.
    """

    added: list[str]
    removed: list[str]
    restarted: list[Change]
    changed: list[Change]
    settings: list[str]
    failed: dict[str, str] = {}


class Problem(Struct):
    """`line` 0: unknown."""

    file: str
    line: int
    key: str
    text: str


class Failure(Struct):
    """`problems` are those of the configuration's files, where it is them that are wrong."""

    error: Literal["not-found", "conflict", "invalid", "forbidden", "unavailable", "failed"]
    detail: str
    problems: list[Problem] = []


#: RequestError's codes as HTTP has them. 422: understood, tried, and it did not work.
STATUS = {
    "not-found": 404,
    "conflict": 409,
    "invalid": 400,
    "forbidden": 403,
    "unavailable": 503,
    "failed": 422,
}


def decode(data: bytes, kind: type[T]) -> T:
    """A request's body; no body is an empty object."""
    try:
        return msgspec.json.decode(data or b"{}", type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise RequestError("invalid", f"body: {error}") from None


def name(word: str) -> str:
    """A word that may be a container's name; another one is no container's, which is all that is wrong with it."""
    try:
        return msgspec.convert(word, Name)
    except msgspec.ValidationError:
        raise RequestError("not-found", f'no container is called "{word[:80]}"') from None


def query(pairs: list[tuple[str, str]], kind: type[T]) -> T:
    """Query parameters; `name` and `field` may come several times, the others once."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in ("name", "field"):
            values.setdefault(key, []).append(name(value) if key == "name" else value)
        elif key in values:
            raise RequestError("invalid", f"query: `{key}` is given twice")
        else:
            values[key] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise RequestError("invalid", f"query: {error}") from None


def signal_name(text: str) -> str:
    """A signal of this kernel by its name, or RequestError."""
    if text in signal.Signals.__members__:
        return text
    raise RequestError("invalid", f'"{text}" is not a signal: use a name such as SIGTERM or SIGHUP')
