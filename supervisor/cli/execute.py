"""`supervisor exec NAME -- CMD…`: a command in a running container, confined as its service is.

Laws: with a terminal as stdin the command has one of its own, and ours is raw while it runs and as it was
afterwards, however this ends; without one, signals to this program are the command's. The exit status is
the command's, 128 and the number for a signal; 126 and 127 as a shell's; SPEC's where it was not begun.
"""

import errno
import fcntl
import os
import re
import signal
import struct
import sys
import termios
import tty
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from supervisor.api.address import reachable, refusal, socket_path
from supervisor.cli.arguments import UsageError
from supervisor.cli.relay import Relay
from supervisor.errors import RequestError
from supervisor.launcher.hints import hint
from supervisor.launcher.visit import SOCKET, Report, Visit, Visitor

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_SIGNALLED, _NOT_EXECUTABLE, _NOT_FOUND = 128, 126, 127
_TERM = re.compile(r"[A-Za-z0-9._+-]{1,64}")

_Heard = Callable[[int, FrameType | None], object]


class _Interrupted(Exception):  # noqa: N818  # not an error: a signal that ends a session at a terminal
    """args[0] is its number."""


def run(arguments: Namespace, where: str | None) -> int:
    """The exit code; raises RequestError where there is nobody to ask."""
    visit = _visit(arguments.name, _command(arguments.argv))
    visitor = _enter(where, visit)
    try:
        report = _in_terminal(visitor) if visit.tty else _in_pipes(visitor)
    except _Interrupted as interrupted:
        return _SIGNALLED + int(interrupted.args[0])
    finally:
        visitor.close()
    return _outcome(visit.name, report)


def _command(words: list[str]) -> tuple[str, ...]:
    if words and words[0] == "--":
        words = words[1:]
    elif words and words[0].startswith("-"):
        raise UsageError(f"exec takes no {words[0]} after the name; write: supervisor exec NAME -- CMD…")
    if not words or not words[0]:
        raise UsageError("which command? write: supervisor exec NAME -- CMD…")
    return tuple(words)


def _visit(name: str, argv: tuple[str, ...]) -> Visit:
    if not os.isatty(0):
        return Visit(name, argv)
    term = os.environ.get("TERM", "")
    rows, cols, _, _ = _size()
    return Visit(name, argv, True, rows, cols, term if _TERM.fullmatch(term) else "")


def _enter(where: str | None, visit: Visit) -> Visitor:
    api = socket_path(where)
    path = os.path.join(os.path.dirname(api), SOCKET)
    try:
        with reachable(path) as address:
            return Visitor(address, visit)
    except PermissionError:
        raise RequestError(
            "forbidden",
            "only root, or without root the user who started the supervisor, may run commands in containers",
        ) from None
    except OSError as error:
        raise _lost(where) or refusal(error, path) from None


def _lost(where: str | None) -> RequestError | None:
    """What it means that nobody is there to enter while the other half of the supervisor is."""
    from supervisor.api.call import QUICK, Call  # noqa: PLC0415  # no command that is begun pays for it
    from supervisor.cli.containers import LOST  # noqa: PLC0415

    try:
        there = Call(where, "GET", "/v1/info", timeout=QUICK).value()
    except RequestError:
        return None
    return None if there["helper"] else RequestError("unavailable", LOST)


# ── without a terminal ─────────────────────────────────────────────────────────────────


def _in_pipes(visitor: Visitor) -> Report | None:
    def forward(number: int, _frame: FrameType | None) -> None:
        visitor.signal(number)

    with _heard(dict.fromkeys(_FORWARDED, forward)):
        return Relay(visitor, lambda _terminal: None).run()


# ── with one ───────────────────────────────────────────────────────────────────────────


def _in_terminal(visitor: Visitor) -> Report | None:
    terminal = -1

    def resize(_number: int = 0, _frame: FrameType | None = None) -> None:
        if terminal >= 0:
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", *_size()))

    def resume(_number: int = 0, _frame: FrameType | None = None) -> None:
        """At first, and after a stop, when a shell has taken its own settings back."""
        if terminal >= 0:
            tty.setraw(0, termios.TCSANOW)
            resize()

    def connected(descriptor: int) -> None:
        nonlocal terminal
        terminal = descriptor
        resume()

    heard: dict[int, _Heard] = {signal.SIGWINCH: resize, signal.SIGCONT: resume}
    with _heard(heard | dict.fromkeys(_FORWARDED, _leave)):
        before = termios.tcgetattr(0)
        try:
            return Relay(visitor, connected).run()
        finally:
            try:
                _ignore()
            finally:
                termios.tcsetattr(0, termios.TCSANOW, before)


def _leave(number: int, _frame: FrameType | None) -> NoReturn:
    _ignore()  # a second signal must not keep the terminal from being restored
    raise _Interrupted(number)


def _ignore() -> None:
    for number in _FORWARDED:
        signal.signal(number, signal.SIG_IGN)


def _size() -> tuple[int, int, int, int]:
    """Of our terminal, as TIOCGWINSZ tells it: rows, columns, and two that nobody uses (ioctl_tty(2))."""
    rows, cols, x, y = struct.unpack("4H", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    return rows, cols, x, y


# ── both ───────────────────────────────────────────────────────────────────────────────


@contextmanager
def _heard(what: Mapping[int, _Heard]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number, handler in what.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _outcome(name: str, report: Report | None) -> int:
    """Say what there is to say; the exit code."""
    if report is None:
        return _say(f"{name} has ended, and the command with it", _SIGNALLED + signal.SIGKILL)
    if report.what == "ended":
        return report.code if report.code >= 0 else _SIGNALLED + report.signal
    if report.what == "denied":
        raise RequestError(report.hint, report.path)
    why = os.strerror(report.errno) if report.errno else ""
    cure = hint(report.stage, report.errno, report.path, report.hint)
    text = ": ".join(part for part in (name, report.stage, report.path, why) if part)
    code = 1
    if report.stage == "exec":
        code = _NOT_FOUND if report.errno == errno.ENOENT else _NOT_EXECUTABLE
    return _say(f"{text} ({cure})" if cure else text, code)


def _say(text: str, code: int) -> int:
    print(f"supervisor: {text}", file=sys.stderr)
    return code
