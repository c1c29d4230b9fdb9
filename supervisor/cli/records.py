"""Commands that read records: logs and events.

Laws: who may read the files reads them, and costs the supervisor nothing; who may not asks for them. What is printed
on a terminal cannot act on it; into a pipe or a file goes the same text, without colour.
"""

import os
import re
import sys
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator

from supervisor.cli.arguments import UsageError
from supervisor.cli.asked import Asked
from supervisor.cli.lines import Lines
from supervisor.cli.render import wants_colour
from supervisor.cli.unread import Unread
from supervisor.errors import RequestError
from supervisor.logs.stamp import clock
from supervisor.logs.wanted import wanted

_SAID_IN_SQL = (
    "follow", "lines", "since", "until", "stream", "level", "grep", "run", "field", "reverse", "events", "utc",
)  # fmt: skip
_CONTROL = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def run(arguments: Namespace, where: str | None) -> int:
    """Print what there is, then what comes."""
    if getattr(arguments, "sql", None) is not None:
        return _sql(arguments, where)
    asked = _asked(arguments)
    unread = Unread()
    show(_records(arguments, where, asked, unread), arguments, at_once=asked.follow)
    return unread.code()


def _asked(arguments: Namespace) -> Asked:
    command, follow = arguments.command, arguments.follow
    if follow and (arguments.until is not None or arguments.reverse):
        raise UsageError(
            f"{command}: what follows has no end, and no other order: -f goes without --until and --reverse"
        )
    try:
        filters = wanted(
            clock(),
            since=arguments.since,
            until=arguments.until,
            stream=getattr(arguments, "stream", None),
            level=arguments.level,
            grep=arguments.grep,
            run=arguments.run,
            field=arguments.field,
        )
    except ValueError as error:
        raise UsageError(f"{command}: --{error}") from None
    return Asked(
        tuple(getattr(arguments, "names", ())),
        filters,
        last=arguments.lines,
        reverse=arguments.reverse,
        follow=follow,
        output=command == "logs",
        events=command == "events" or arguments.events,
    )


def _records(arguments: Namespace, where: str | None, asked: Asked, unread: Unread) -> Iterator[list[bytes]]:
    folder = arguments.dir or _log_folder(where)
    if folder is None:
        from supervisor.cli import asking  # noqa: PLC0415  # one of the two is enough

        return asking.read(where, asked)
    from supervisor.cli import logfolder  # noqa: PLC0415

    return logfolder.read(folder, asked, unread.tell)


def _sql(arguments: Namespace, where: str | None) -> int:
    from supervisor.cli import rows, sql  # noqa: PLC0415

    given = [option for option in _SAID_IN_SQL if getattr(arguments, option) not in (None, False, [])]
    if given:
        raise UsageError(
            f"logs: --sql says itself which records it is about: leave out --{given[0].replace('_', '-')}"
        )
    folder = arguments.dir or _log_folder(where)
    if folder is None:
        raise RequestError("forbidden", "--sql reads the files of the logs, and you may not: run it as root")
    unread = Unread()
    answer = sql.ask(folder, arguments.names, arguments.sql, unread.tell)
    for line in rows.objects(answer) if arguments.json else rows.table(answer):
        print(line)
    return unread.code()


def _log_folder(where: str | None) -> str | None:
    from supervisor.cli.whereabouts import log_folder  # noqa: PLC0415  # whom --dir tells need not ask

    return log_folder(where)


def show(batches: Iterable[list[bytes]], arguments: Namespace, *, at_once: bool) -> None:
    """Print each record, a follower's as soon as it comes."""
    tty = sys.stdout.isatty()
    spelled = _json(tty=tty) if arguments.json else _text(arguments, tty=tty)
    for batch in batches:
        if batch:
            sys.stdout.write("\n".join(map(spelled, batch)) + "\n")
            if at_once or tty:
                sys.stdout.flush()


def _json(*, tty: bool) -> Callable[[bytes], str]:
    def spelled(raw: bytes) -> str:
        text = raw.decode(errors="replace")
        # JSON escapes what is below a space; above it there is more that a terminal may obey.
        return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text) if tty else text

    return spelled


def _text(arguments: Namespace, *, tty: bool) -> Callable[[bytes], str]:
    colour = not arguments.no_color and wants_colour(tty, os.environ)
    return Lines(getattr(arguments, "names", ()), colour=colour, utc=arguments.utc).line
