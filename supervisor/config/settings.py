"""The [supervisor] table."""

import os
from collections.abc import Mapping

from supervisor.config.mounts import host_path
from supervisor.config.restart import DURATION
from supervisor.config.shapes import Key, Keys, Shape, Table, leaf, pick, plain, table, words
from supervisor.config.units import account, duration_from, size_from
from supervisor.config.values import normal, number
from supervisor.core.spec import KIB, Logs, Monitor, Settings

_COMPRESS = ("zstd", "gzip", "none")
_PATH = Shape(host_path, {"type": "string"})
_SIZE = {"type": ["string", "integer"], "examples": ["64MiB"]}

LOGS: Keys = {
    "dir": Key(_PATH, 'default "logs" under the working directory'),
    "segment": Key(leaf(size_from(4 * KIB), **_SIZE), "a segment is closed at this size; default 64MiB"),
    "segment_age": Key(leaf(duration_from(1), **DURATION), "or at this age; default 24h"),
    "keep": Key(
        leaf(size_from(4 * KIB), **_SIZE),
        "closed segments of one container, oldest dropped first; default 1GiB",
    ),
    "compress": Key(words(*_COMPRESS), "closed segments only"),
}
MONITOR: Keys = {
    "interval": Key(leaf(duration_from(0.01), **DURATION), "sampling of cpu.stat and friends; default 1s"),
    "throttled_percent": Key(
        leaf(number(0, 100), type="number", minimum=0, maximum=100),
        "warn above this share of throttled periods; default 25",
    ),
}
SUPERVISOR: Keys = {
    "user": Key(
        leaf(account, type=["string", "integer"]), 'account of the unprivileged half; default "nobody"'
    ),
    "runtime_dir": Key(
        _PATH,
        "sockets, FIFOs, run state; default /run/supervisor, or $XDG_RUNTIME_DIR/supervisor without root",
    ),
    "logs": Key(table(LOGS), "where records go"),
    "monitor": Key(table(MONITOR), "sampling and warnings"),
}


def default_runtime_dir(environ: Mapping[str, str], *, root: bool) -> str:
    """Where run state goes without a word about it; a login without XDG_RUNTIME_DIR gets the folder it would name."""
    if root:
        return "/run/supervisor"
    told = environ.get("XDG_RUNTIME_DIR", "")
    # The XDG base directory specification has relative paths ignored.
    base = told if told.startswith("/") else f"/run/user/{os.getuid()}"
    return normal(os.path.join(base, "supervisor"))


def build(given: Table, *, cwd: str, runtime_dir: str) -> Settings:
    """The settings of a [supervisor] table, maybe empty; `cwd` and `runtime_dir` are for what it leaves out."""
    logs = {"dir": normal(os.path.join(cwd, "logs")), **plain(pick(given, "logs", Table()))}
    return Settings(
        **{"runtime_dir": runtime_dir, **plain(given)},
        logs=Logs(**logs),
        monitor=Monitor(**plain(pick(given, "monitor", Table()))),
    )
