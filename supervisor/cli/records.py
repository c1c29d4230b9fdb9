"""Commands that read records: logs and events. Without a supervisor, logs reads the folder itself."""

import os
import re
import sys
from argparse import Namespace
from collections.abc import Iterator

from supervisor.api.call import Call, query
from supervisor.cli.lines import Lines
from supervisor.cli.render import wants_colour
from supervisor.errors import RequestError, SupervisorError

LATER = ("since", "until", "stream", "grep")
_CONTROL = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def run(arguments: Namespace, where: str | None) -> int:
    """Print what there is, then what comes."""
    for option in LATER:
        if getattr(arguments, option, None) is not None:
            raise SupervisorError(f"{arguments.command}: --{option} is not supported yet")
    names = getattr(arguments, "names", [])
    show(_lines(arguments, where, names), names, as_json=arguments.json, at_once=arguments.follow)
    return 0


def _lines(arguments: Namespace, where: str | None, names: list[str]) -> Iterator[bytes]:
    if getattr(arguments, "dir", None):
        return _from_folder(arguments, arguments.dir, names)
    pairs: list[tuple[str, object]] = [("name", name) for name in names]
    pairs += [("n", arguments.lines)] if arguments.lines is not None else []
    pairs += [(flag, 1) for flag in ("follow", "events") if getattr(arguments, flag, False)]
    try:
        return Call(where, "GET", f"/v1/{arguments.command}" + query(pairs)).lines()
    except RequestError as error:
        if error.code == "unavailable" and not arguments.follow and os.path.isdir("logs"):
            return _from_folder(arguments, "logs", names)
        raise


def _from_folder(arguments: Namespace, folder: str, names: list[str]) -> Iterator[bytes]:
    from supervisor.cli import offline  # noqa: PLC0415  # it costs what the logs room costs

    if arguments.follow:
        raise RequestError(
            "unavailable", "--follow needs a running supervisor: leave it out to read the folder"
        )
    if arguments.command == "events":
        return offline.read(folder, [], arguments.lines, output=False, events=True)
    return offline.read(folder, names, arguments.lines, output=True, events=arguments.events)


def show(lines: Iterator[bytes], names: list[str], *, as_json: bool, at_once: bool) -> None:
    """Print each line, a follower's as soon as it comes."""
    tty = sys.stdout.isatty()
    at_once = at_once or tty
    form = Lines(names, colour=wants_colour(tty, os.environ))
    for raw in lines:
        if as_json:
            text = raw.decode(errors="replace").rstrip("\n")
            # JSON escapes what is below a space; above it there is more that a terminal may obey.
            print(_CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) if tty else text, flush=at_once)
        else:
            print(form.line(raw), flush=at_once)
