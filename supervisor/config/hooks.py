"""Hooks on transitions: `[container.NAME.on]`."""

from typing import Any

from supervisor.config.place import Place
from supervisor.config.probes import COMMAND
from supervisor.config.restart import DURATION
from supervisor.config.shapes import BROKEN, Key, Keys, Shape, Table, leaf, pick
from supervisor.config.units import duration, duration_from
from supervisor.config.values import WrongError, show
from supervisor.core.hooks import TRIGGERS
from supervisor.core.spec import Hooks

_WHEN = {
    "failed": "it was given up",
    "backoff": "it ended and will be started again",
    "oom": "the kernel's OOM killer took a process of it",
    "unhealthy": "its health probes failed",
    "throttled": "it was throttled above the threshold of [supervisor.monitor]",
    "recovered": "after one of these but throttled: it has been well for restart.reset_after",
}


def _program(value: object, place: Place) -> Any:
    """A program of the host by its whole path: there is no shell here, and no search."""
    command = COMMAND.parse(value, place)
    if command is not BROKEN and not command[0].startswith("/"):
        raise WrongError(f"{show(command[0])} is not an absolute path (write the program's whole path)")
    return command


_COMMAND = Shape(_program, COMMAND.schema)
ON: Keys = {
    **{name: Key(_COMMAND, f"run on the host when {_WHEN[name]}") for name in TRIGGERS},
    "window": Key(leaf(duration, **DURATION), "the same event runs its hook once in this time; default 60s"),
    "timeout": Key(leaf(duration_from(0.001), **DURATION), "a hook that takes longer is killed; default 30s"),
}


def build_hooks(given: Table) -> Hooks:
    commands = tuple((name, pick(given, name, ())) for name in TRIGGERS if name in given)
    times = {name: pick(given, name, getattr(Hooks(), name)) for name in ("window", "timeout")}
    return Hooks(commands, **times)
