"""A program of the host, run to its end by the unprivileged half.

Laws:
- It has this account's rights, never more: no_new_privs is inherited. Nothing is inherited but what
  is given here; descriptors are closed, its working directory is /.
- It is alone in its session, and when it ends, or its time is over, all of that session's group is killed.
- It dies with the thread that started it (PR_SET_PDEATHSIG, by `before_exec`): run it from the main one.
- Of what it prints the last KEPT bytes are given back; a program that reads or prints nothing is all right.
"""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import trio
import trio.lowlevel

KEPT = 4096
GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass(frozen=True, slots=True)
class Result:
    """`code` or `signal` as it ended; neither: it could not be run (`error`), or was killed for its time (`late`)."""

    code: int | None = None
    signal: int | None = None
    late: bool = False
    error: str = ""
    said: str = ""

    @property
    def well(self) -> bool:
        return self.code == 0


async def run(
    command: Sequence[str],
    given: bytes,
    environment: Mapping[str, str],
    seconds: float,
    before_exec: Callable[[], None] | None = None,
) -> Result:
    """Run it with `given` on its standard input, at most so many seconds. Raises nothing but cancellation."""
    try:
        process = subprocess.Popen(  # noqa: ASYNC220 fork and exec: milliseconds, and its thread must be this one
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=dict(environment),
            start_new_session=True,
            preexec_fn=before_exec,  # noqa: PLW1509 one system call, no thread takes a lock
        )
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return Result(error=str(error))
    said = bytearray()
    try:
        with trio.move_on_after(seconds) as scope:
            await _attend(process, given, said)
    finally:
        _end(process)
    code = process.returncode
    late = scope.cancelled_caught
    text = said[-KEPT:].decode(errors="replace")
    if late:
        return Result(late=True, said=text)
    return Result(code if code >= 0 else None, -code if code < 0 else None, said=text)


async def _attend(process: "subprocess.Popen[bytes]", given: bytes, said: bytearray) -> None:
    """Feed it and hear it until it ends."""
    assert process.stdin is not None
    assert process.stdout is not None
    pidfd = os.pidfd_open(process.pid)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_feed, os.dup(process.stdin.fileno()), given)
            process.stdin.close()
            nursery.start_soon(_listen, os.dup(process.stdout.fileno()), said)
            await trio.lowlevel.wait_readable(pidfd)
            # What it had printed by then is in the pipe; a child of its that still holds it is not waited for.
            await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        _drain(process.stdout.fileno(), said)
    finally:
        os.close(pidfd)


async def _feed(fd: int, given: bytes) -> None:
    async with trio.lowlevel.FdStream(fd) as stream:
        with suppress(*GONE):
            await stream.send_all(given)


async def _listen(fd: int, said: bytearray) -> None:
    async with trio.lowlevel.FdStream(fd) as stream:
        with suppress(*GONE):
            async for chunk in stream:
                said += chunk
                del said[:-KEPT]


def _drain(fd: int, said: bytearray) -> None:
    with suppress(OSError):
        os.set_blocking(fd, False)
        while chunk := os.read(fd, 1 << 16):
            said += chunk
            del said[:-KEPT]


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Nothing of it is left: its group is killed while its leader, not reaped yet, still keeps the number."""
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
