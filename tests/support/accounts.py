"""Commands of other accounts, by real ids.

Nobody's ids are used, and a fork instead of a new program: ours may lie where such an account cannot reach it.
"""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from typing import NamedTuple

# What commands import when they need it is here before an account is taken.
from supervisor.cli import asking, changes, confined, confinement, containers, records
from supervisor.cli.main import main
from tests.support.running import Running

__all__ = [
    "ALICE",
    "BOB",
    "CAROL",
    "GROUP",
    "asked",
    "asking",
    "become",
    "changes",
    "child",
    "confined",
    "confinement",
    "containers",
    "records",
]

GROUP, ALICE, BOB, CAROL = 51300, 51301, 51302, 51303


class Done(NamedTuple):
    code: int
    said: str
    pid: int


def become(uid: int, groups: tuple[int, ...]) -> None:
    os.setgroups(groups)
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


@contextlib.contextmanager
def child() -> Iterator[tuple[int, int]]:
    """Fork: (PID, a pipe to read what it says) for the parent, (0, the pipe to write into) for the child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            yield 0, write
        finally:
            os._exit(70)  # pytest goes on in the parent alone
    os.close(write)
    try:
        yield pid, read
    finally:
        os.close(read)
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def asked(running: Running, uid: int, groups: tuple[int, ...], *command: str) -> Done:
    """`supervisor …` of another account: its exit code, everything it said, and its PID."""
    where = ("--runtime-dir", str(running.runtime_dir))
    with child() as (pid, pipe):
        if pid == 0:
            become(uid, groups)
            sys.stdout = sys.stderr = os.fdopen(pipe, "w")
            code = main([*where, *command])
            sys.stdout.flush()
            os._exit(code)
        with os.fdopen(os.dup(pipe)) as file:
            said = file.read()
        return Done(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said, pid)
