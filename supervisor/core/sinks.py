"""Where records are shipped to, as root declared it; and what is said of a sink while it ships.

Durations are seconds, sizes bytes. Files were read when the configuration was: the daemon cannot open them.
"""

from dataclasses import dataclass
from typing import Literal

from supervisor.core.backoff import Backoff

Kind = Literal["http", "otlp", "syslog", "journald"]
#: Most sinks of one supervisor: each has a batch in memory.
MOST = 16
#: Where nothing is declared: between attempts to ship a batch.
RETRY = Backoff(initial=0.5, factor=2.0, max=30.0, jitter=0.25)
#: Words of records, the least first.
LEVELS = ("debug", "info", "warning", "error", "critical")
#: What a template may name as `${word}`; a single `$` is written `$$`.
WORDS = (
    "ts", "level", "event", "container", "run", "stream", "seq", "id", "host", "text", "unix_nano", "members",
    "record", "record_text",
)  # fmt: skip
#: Facilities of syslog, in the order of their numbers (RFC 5424, table 1).
FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "security", "console", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Template:
    """A request's body: `head`, each record by `record` with `between` between them, `tail`; see ship.template."""

    record: str
    head: str = ""
    between: str = "\n"
    tail: str = "\n"


@dataclass(frozen=True, slots=True)
class Sink:
    """The keys of its table, by the same names; `host` is this machine's.

    `containers` and `events` are shell patterns of names, `level` the least of LEVELS; `events` are the supervisor's own
    records, of these containers and of none. A batch is closed at `batch` bytes or `records` records, or `linger`
    after its first was seen. A file's text is here in place of its name: PEM of who is believed ("": whom this machine
    believes) and of who we are ("": nobody), a token.
    """

    type: Kind
    url: str = ""
    address: str = ""
    containers: tuple[str, ...] = ("*",)
    streams: tuple[str, ...] = ("stdout", "stderr")
    level: str = "debug"
    events: tuple[str, ...] = ("*",)
    start: Literal["beginning", "end"] = "beginning"
    batch: int = 1 << 20
    records: int = 5000
    linger: float = 0.5
    timeout: float = 30.0
    backoff: Backoff = RETRY
    headers: tuple[tuple[str, str], ...] = ()
    token_file: str = ""
    format: Literal["ndjson", "loki", "elasticsearch", "template"] = "ndjson"
    template: Template | None = None
    content_type: str = ""
    compression: Literal["none", "gzip"] = "none"
    fields: tuple[tuple[str, str], ...] = ()
    host: str = ""
    facility: str = "daemon"
    max_message: int = 64 << 10
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
