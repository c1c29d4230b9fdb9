"""Commands about running containers: status, inspect, start, stop, restart, kill; and the end of the supervisor."""

import json
import os
import select
import signal
import sys
import time
from argparse import Namespace

from supervisor.api.call import QUICK, Call, container, query
from supervisor.cli import render, ship
from supervisor.cli.arguments import UsageError
from supervisor.errors import RequestError

LOST = "the helper is gone; containers and logs go on: `supervisor start CONFIG` takes them over"
#: Requests at a time: acting on two hundred containers must not use up the server's connections.
TOGETHER = 32


def run(arguments: Namespace, where: str | None) -> int:
    """Carry out one of them."""
    command = arguments.command
    if command in ("status", "ps"):
        return status(where, arguments.names, as_json=arguments.json)
    if command == "inspect":
        return inspect(where, arguments.name, as_json=arguments.json)
    if command == "kill":
        path = container(arguments.name, "kill")
        Call(where, "POST", path, {"signal": signal_name(arguments.signal)}).value()
        return 0
    if command == "stop" and not arguments.names:
        return stop_all(where)
    act(where, command, arguments.what if command == "start" else arguments.names)
    return 0


def status(where: str | None, names: list[str], *, as_json: bool) -> int:
    """The table, or the list of objects."""
    about = Call(where, "GET", "/v1/info", timeout=QUICK)
    asked = Call(where, "GET", "/v1/containers" + query(("name", name) for name in names), timeout=QUICK)
    if not about.value()["helper"]:
        print(f"supervisor: {LOST}", file=sys.stderr)
    found = asked.value()
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    tty = sys.stdout.isatty()
    width = max(render.WIDTH, os.get_terminal_size(sys.stdout.fileno()).columns) if tty else render.WIDTH
    print("\n".join(render.status(found, width=width, colour=render.wants_colour(tty, os.environ))))
    for line in ship.failures(ship.sinks(where)):
        print(f"ship: {line}")
    return 0


def inspect(where: str | None, name: str, *, as_json: bool) -> int:
    """Everything about one container: what the supervisor knows, and how the kernel confines it now."""
    from supervisor.cli import confined, confinement  # noqa: PLC0415  # no other command pays for it

    found, why = confinement.effective(lambda: Call(where, "GET", container(name), timeout=QUICK).value())
    if as_json:
        print(json.dumps(found, indent=2))
        return 0
    seen = found.pop("confinement")
    print("\n".join([*render.inspect(found), *confined.lines(seen, why)]))
    return 0


def act(where: str | None, what: str, names: list[str]) -> None:
    """Do it to all, side by side; the first error is raised once all have answered."""
    names = list(dict.fromkeys(names))
    errors: list[RequestError] = []
    for first in range(0, len(names), TOGETHER):
        calls = [Call(where, "POST", container(name, what)) for name in names[first : first + TOGETHER]]
        for call in calls:
            try:
                call.value()
            except RequestError as error:
                errors.append(error)
    for further in errors[1:]:
        print(f"supervisor: {further.detail}", file=sys.stderr)
    if errors:
        raise errors[0]


def stop_all(where: str | None) -> int:
    """Stop the supervisor and wait until it is gone."""
    pid = Call(where, "GET", "/v1/info", timeout=QUICK).value()["pid"]
    try:
        # Opened before the request, so that it cannot be another process of the same number.
        helper = os.pidfd_open(pid)
    except OSError:
        helper = -1  # its PID means nothing here: another PID namespace
    try:
        Call(where, "POST", "/v1/stop", timeout=QUICK).value()
        if helper >= 0:
            select.select([helper], [], [])
        _until_silent(where)
    finally:
        if helper >= 0:
            os.close(helper)
    return 0


def _until_silent(where: str | None) -> None:
    """Return once nobody answers; nothing tells of that, so ask again and again."""
    while True:
        try:
            Call(where, "GET", "/v1/info", timeout=QUICK).value()
        except RequestError as error:
            if error.code == "unavailable":
                return
            raise
        time.sleep(0.05)


def signal_name(text: str) -> str:
    """SIGHUP of "SIGHUP", "HUP", "hup" or "1"."""
    if text.isascii() and text.isdigit() and int(text) in {each.value for each in signal.Signals}:
        return signal.Signals(int(text)).name
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    if name not in signal.Signals.__members__:
        raise UsageError(
            f'"{text}" is not a signal: use a name such as TERM or SIGHUP, or a number (see `kill -l`)'
        )
    return name
