"""What can be typed.

Laws: importing this costs argparse and nothing else; every mistake is a UsageError, which main
prints in the same style as all other errors.
"""

import argparse
from typing import Any, NoReturn

from supervisor.errors import SupervisorError

#: Commands that SPEC has and this version does not.
LATER = {
    "top": "a live view",
}


class UsageError(SupervisorError):
    """The command line is wrong; exit 2."""


class _Help(argparse.HelpFormatter):
    """A fixed width: argparse asks the terminal for it at every argument, and imports shutil to do so."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=78)


class Parser(argparse.ArgumentParser):
    def __init__(self, **more: Any) -> None:
        super().__init__(**more, formatter_class=_Help)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\nsee `{self.prog} --help`")


def parser() -> Parser:
    """The whole command line."""
    shared = Parser(add_help=False)
    shared.add_argument(
        "--runtime-dir",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="the instance (default: $SUPERVISOR_RUNTIME_DIR, else /run/supervisor, "
        "or without root $XDG_RUNTIME_DIR/supervisor or /run/user/UID/supervisor)",
    )
    reading = Parser(add_help=False, parents=[shared])
    reading.add_argument("--json", action="store_true", help="machine-readable output")

    top = Parser(
        prog="supervisor",
        description="Supervises containers on this host.",
        parents=[shared],
        allow_abbrev=False,
    )
    top.add_argument("--version", action="store_true", help="print the version")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")

    def add(name: str, text: str, parent: Parser, **more: Any) -> Parser:
        made: Parser = commands.add_parser(
            name, help=text, description=text, parents=[parent], allow_abbrev=False, **more
        )
        return made

    _lifecycle(add, shared)
    _reading(add, reading)
    for name, text in LATER.items():
        later = add(name, f"{text} (not supported yet)", reading)
        later.add_argument("rest", nargs=argparse.REMAINDER, metavar="…")
    return top


def _lifecycle(add: Any, shared: Parser) -> None:
    start = add("start", "supervise a configuration, or start containers", shared)
    start.add_argument(
        "what",
        nargs="+",
        metavar="CONFIG|NAME",
        help="with a slash, ending in .toml or naming a folder: a configuration; else containers",
    )
    start.add_argument("--detach", action="store_true", help="return once everything is started")
    stop = add("stop", "stop containers, or without names the whole supervisor", shared)
    stop.add_argument("names", nargs="*", metavar="NAME")
    restart = add("restart", "restart containers", shared)
    restart.add_argument("names", nargs="+", metavar="NAME")
    kill = add("kill", "send a signal to a container", shared)
    kill.add_argument("name", metavar="NAME")
    kill.add_argument(
        "-s", "--signal", default="SIGTERM", metavar="SIG", help="name or number (default SIGTERM)"
    )
    add("upgrade", "have the program as it is installed now take over, containers untouched", shared)
    execute = add("exec", "run a command inside a container, confined as its service is", shared)
    execute.add_argument("name", metavar="NAME")
    execute.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- CMD…", help="program and arguments")


def _reading(add: Any, reading: Parser) -> None:
    check = add("check", "validate a configuration and print every problem", reading)
    check.add_argument("config", metavar="CONFIG")
    check.add_argument(
        "--schedule", metavar="NAME", help="print the delays before the restarts of a container"
    )
    doctor = add("doctor", "say what this host offers and what a configuration lacks", reading)
    doctor.add_argument("config", nargs="?", metavar="CONFIG")
    status = add("status", "the state of the containers", reading, aliases=["ps"])
    status.add_argument("names", nargs="*", metavar="NAME")
    inspect = add("inspect", "everything known about a container", reading)
    inspect.add_argument("name", metavar="NAME")
    why = add("why", "how and why the runs of a container began and ended", reading)
    why.add_argument("name", metavar="NAME")
    why.add_argument(
        "-n", "--runs", type=_count, metavar="N", help="the newest N runs (default: 5; --json: all)"
    )
    why.add_argument(
        "--dir", metavar="DIR", help="without a supervisor: its log folder (default: the one it last used)"
    )
    logs = add("logs", "the output of the containers, in time order", reading)
    logs.add_argument("names", nargs="*", metavar="NAME")
    logs.add_argument("--events", action="store_true", help="the supervisor's records about them too")
    logs.add_argument("--stream", metavar="S", help="stdout or stderr only")
    logs.add_argument(
        "--sql",
        metavar="QUERY",
        help="ask in SQL, by DuckDB; there are the views logs and events (see the README)",
    )
    _records(logs)
    _records(add("events", "the supervisor's own records", reading))
    add("ship", "how far records have been shipped", reading)
    add("plan", "what a reload would change, and by which key", reading)
    add("reload", "do what has changed in the configuration", reading)
    add("schema", "JSON Schema of the configuration, for editors", reading)


def _records(command: Parser) -> None:
    """Which records, and how they are shown."""
    option = command.add_argument
    option("-f", "--follow", action="store_true", help="go on as records come, over every restart")
    option("-n", "--lines", type=_count, metavar="N", help="the last N only (default: all)")
    option("--since", metavar="T", help='from then on: a time, "5m" or "2h ago", "today", "boot"')
    option("--until", metavar="T", help="what came before then")
    option("--level", metavar="L", help="debug, info, warning, error or critical, and what is graver")
    option("--grep", metavar="RE", help="whose text a regular expression of Python finds something in")
    option("--run", type=_count, metavar="N", help="of this run of the container")
    option(
        "--field",
        action="append",
        default=[],
        metavar="K=V",
        help="JSON data with this value, e.g. http.status=500",
    )
    option("--reverse", action="store_true", help="the newest first")
    option("--utc", action="store_true", help="times in UTC (default: local)")
    option("--no-color", action="store_true", help="no colours on a terminal either; as does $NO_COLOR")
    option("--dir", metavar="DIR", help="read this log folder, whatever runs")


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise argparse.ArgumentTypeError(f'"{text}" is not a number')
    return int(text)
