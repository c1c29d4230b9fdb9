"""The [supervisor] table."""

import grp
import os
import pwd
from dataclasses import replace

from supervisor.config import ship
from supervisor.config.identity import id_pool
from supervisor.config.mounts import host_path
from supervisor.config.restart import DURATION
from supervisor.config.shapes import Key, Keys, Shape, Table, leaf, pick, plain, table, words
from supervisor.config.units import account, duration_from, size_from
from supervisor.config.values import WrongError, normal, number, show
from supervisor.core.spec import KIB, Configuration, Logs, Monitor, Settings

_COMPRESS = ("zstd", "gzip", "none")
_SYNC = ("none", "1s", "always")
_PATH = Shape(host_path, {"type": "string"})
_SIZE = {"type": ["string", "integer"], "examples": ["64MiB"]}


def _user(value: object) -> str:
    """An account of this machine by its name: what it may do is looked up by that, and so at every start."""
    word = account(value)
    try:
        pwd.getpwnam(word)
    except KeyError:
        cure = "write a name" if word.isdigit() else f"make it: useradd --system {word}"
        raise WrongError(f"there is no account {show(word)} here ({cure})") from None
    return word


def _group(value: object) -> int:
    """The gid of a group of this machine, by name or number; looked up now, so that what root declared is a number."""
    word = account(value)
    if word.isdigit():
        return int(word)
    try:
        return grp.getgrnam(word).gr_gid
    except KeyError:
        raise WrongError(f"there is no group {show(word)} here (make it: groupadd --system {word})") from None


LOGS: Keys = {
    "dir": Key(_PATH, 'default "logs" under the working directory'),
    "segment": Key(leaf(size_from(4 * KIB), **_SIZE), "a segment is closed at this size; default 64MiB"),
    "segment_age": Key(leaf(duration_from(1), **DURATION), "or at this age; default 24h"),
    "keep": Key(
        leaf(size_from(4 * KIB), **_SIZE),
        "closed segments of one container, oldest dropped first; default 1GiB",
    ),
    "keep_age": Key(
        leaf(duration_from(1), **DURATION),
        "closed segments whose last record is older are dropped; default never",
    ),
    "compress": Key(words(*_COMPRESS), 'closed segments only; default "zstd"'),
    "sync": Key(
        words(*_SYNC),
        'when records are forced to the disk: "none" leaves it to the kernel, "always" before the output is taken; default "none"',
    ),
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
        leaf(_user, type=["string", "integer"]), 'account of the unprivileged half; default "nobody"'
    ),
    "group": Key(
        leaf(_group, type=["string", "integer"]),
        "group whose members may use the socket, by name or number; default none: root alone",
    ),
    "runtime_dir": Key(
        _PATH,
        "sockets, FIFOs, run state; default /run/supervisor, or $XDG_RUNTIME_DIR/supervisor without root",
    ),
    "state_dir": Key(_PATH, "persistent layers; default /var/lib/supervisor"),
    "id_pool": Key(
        leaf(id_pool, type="string", pattern="^[1-9][0-9]*:[1-9][0-9]*$"),
        'user and group ids for private user namespaces, "FIRST:COUNT"; default "524288:1878523904"',
    ),
    "restarts_per_second": Key(
        leaf(number(0.01, 100_000), type="number", exclusiveMinimum=0),
        "restarts by policy of all containers together, and as many at once; the others wait; default 50",
    ),
    "logs": Key(table(LOGS), "where records go"),
    "monitor": Key(table(MONITOR), "sampling and warnings"),
    "ship": Key(ship.SHAPE, "where records are shipped to, by name"),
}


def build(given: Table, *, cwd: str, runtime_dir: str) -> Settings:
    """The settings of a [supervisor] table, maybe empty; `cwd` and `runtime_dir` are for what it leaves out."""
    logs = {"dir": normal(os.path.join(cwd, "logs")), **plain(pick(given, "logs", Table()))}
    return Settings(
        **{"runtime_dir": runtime_dir, **plain(given)},
        logs=Logs(**logs),
        monitor=Monitor(**plain(pick(given, "monitor", Table()))),
        ship=ship.build(pick(given, "ship", Table())),
    )


def without_root(configuration: Configuration) -> Configuration:
    """As an ordinary user can have it: the socket is the user's own, and no group's."""
    if configuration.settings.group is None:
        return configuration
    note = "supervisor.group: without root the socket is its user's alone"
    settings = replace(configuration.settings, group=None)
    return replace(configuration, settings=settings, notes=(*configuration.notes, note))
