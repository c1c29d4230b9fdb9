"""The program `supervisor`: from arguments to an exit code.

Laws: only what the command needs is imported; an error is one or two plain lines on stderr;
exit codes are SPEC §2's: 0 done, 1 failed, 2 usage or configuration, 3 no such container or
no supervisor, 4 not permitted. Ctrl-C is 130, without words.
"""

# ruff: noqa: PLC0415  # a command imports what it needs, and no other command pays for it
import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress

from supervisor import __version__
from supervisor.cli.arguments import LATER, UsageError, parser
from supervisor.errors import ConfigError, RequestError, SupervisorError

_STREAMS = 3
EXITS = {"not-found": 3, "unavailable": 3, "forbidden": 4, "invalid": 2}


def main(argv: Sequence[str] | None = None) -> int:
    """The console entry."""
    _have_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale without UTF-8 is no reason to fail
    try:
        code = _guarded(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain again when it flushes at exit.
        _silence_stdout()
        return 0
    return code


def _have_streams() -> None:
    """A closed stdin, stdout or stderr must not become one of the descriptors that are opened later: nobody is there,
    for who is executed from here too.
    """
    while (lowest := os.open(os.devnull, os.O_RDWR)) < _STREAMS:
        os.set_inheritable(lowest, True)
    os.close(lowest)
    # Python has None for one that was closed when it began.
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def _guarded(argv: Sequence[str] | None) -> int:
    """Every error a person can meet, in words; what is left is a bug and says so."""
    try:
        return _run(argv)
    except SystemExit as end:  # argparse: --help
        return int(end.code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        raise
    except Exception as error:
        if os.environ.get("SUPERVISOR_DEBUG"):
            raise
        return _explain(error)


def _explain(error: Exception) -> int:
    """Say on stderr what went wrong; the exit code that goes with it."""
    text, code = f"a bug: {type(error).__name__}: {error}\nset SUPERVISOR_DEBUG=1 to see where", 1
    if isinstance(error, ConfigError):
        print(error, file=sys.stderr)
        return 2
    if isinstance(error, RequestError):
        text, code = _still(error) or error.detail, EXITS.get(error.code, 1)
    elif isinstance(error, SupervisorError):
        text, code = str(error), 2 if isinstance(error, UsageError) else 1
    elif isinstance(error, PermissionError):
        text, code = f"not permitted: {_about(error)}", 4
    elif isinstance(error, OSError):
        text = _about(error)
    return _fail(text, code)


def _still(error: RequestError) -> str:
    """What there is to say where no supervisor runs and containers do; else ""."""
    from supervisor.api.address import NobodyError

    if not isinstance(error, NobodyError):
        return ""
    from supervisor.cli.leftover import still_run

    count = still_run(error.folder)
    if not count:
        return ""
    some = "1 container still runs" if count == 1 else f"{count} containers still run"
    them = "it" if count == 1 else "them"
    return f"no supervisor is running in {error.folder}; {some}: `supervisor start CONFIG` takes {them} over"


def _run(argv: Sequence[str] | None) -> int:
    arguments = parser().parse_args(argv)
    where = getattr(arguments, "runtime_dir", None)
    if arguments.version:
        print(f"supervisor {__version__}")
        return 0
    if not arguments.command:
        raise UsageError("which command?\nsee `supervisor --help`")
    return _dispatch(arguments, where)


def _dispatch(arguments: Namespace, where: str | None) -> int:
    command = arguments.command
    if command in LATER:
        return _fail(f"{command}: not supported yet", 1)
    if command in ("check", "schema", "doctor") or (command == "start" and _is_configuration(arguments)):
        from supervisor.cli.configuration import run
    elif command in ("plan", "reload"):
        from supervisor.cli.changes import run
    elif command in ("logs", "events"):
        from supervisor.cli.records import run
    elif command == "ship":
        from supervisor.cli.ship import run
    elif command == "why":
        from supervisor.cli.why import run
    elif command == "upgrade":
        from supervisor.cli.upgrade import run
    elif command == "exec":
        from supervisor.cli.execute import run
    else:
        from supervisor.cli.containers import run
    return run(arguments, where)


def _is_configuration(arguments: Namespace) -> bool:
    """Whether `start` means files; SPEC §2 says how to tell."""
    found = [what for what in arguments.what if "/" in what or what.endswith(".toml") or os.path.isdir(what)]
    if found and len(arguments.what) > 1:
        raise UsageError(
            f"start takes one configuration or names of containers, not {' '.join(arguments.what)}"
        )
    if arguments.detach and not found:
        raise UsageError("--detach goes with a configuration, not with names of containers")
    return bool(found)


def _fail(text: str, code: int) -> int:
    print(f"supervisor: {text}", file=sys.stderr)
    return code


def _about(error: OSError) -> str:
    what = f"{error.filename}: " if error.filename else ""
    return f"{what}{error.strerror or error}"


def _silence_stdout() -> None:
    with suppress(OSError, ValueError):  # not a real file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
