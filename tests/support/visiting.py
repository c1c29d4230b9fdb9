"""Commands in containers, as an operator runs them: through pipes, or at a terminal that the test holds the other side of."""

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.running import PATIENCE, Running, until

ATTRIBUTES = list[Any]


def execute(
    running: Running, name: str, *argv: str, given: bytes = b"", **more: Any
) -> subprocess.CompletedProcess[bytes]:
    """`supervisor exec NAME -- ARGV`, done."""
    return subprocess.run(
        [*running.program, "exec", name, "--", *argv],
        cwd=running.folder,
        env=running.environment,
        input=given,
        capture_output=True,
        check=False,
        timeout=4 * PATIENCE,
        **more,
    )


def said(running: Running, name: str, *argv: str, **more: Any) -> list[str]:
    """The lines it printed; it must succeed."""
    done = execute(running, name, *argv, **more)
    assert (done.returncode, done.stderr) == (0, b""), f"{done}\n{running.report()}"
    return done.stdout.decode().splitlines()


@contextlib.contextmanager
def visiting(running: Running, name: str, *argv: str) -> Iterator[subprocess.Popen[bytes]]:
    """One that goes on."""
    with subprocess.Popen(
        [*running.program, "exec", name, "--", *argv],
        env=running.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def inside(running: Running, name: str, command: str) -> set[int]:
    """The processes of a container whose command line is `command`."""
    found = set()
    for pid in running.processes(name):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
            if b" ".join(words).decode() == command:
                found.add(pid)
    return found


class Terminal:
    """A terminal of rows and columns at which a program runs, with a session of its own."""

    def __init__(self, *words: str, environment: dict[str, str], rows: int = 24, cols: int = 80) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(rows, cols)
        self.before = self.attributes()
        self.seen = b""
        self.process = subprocess.Popen(
            words,
            env=environment,
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - pytest has no threads
        )

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("4H", rows, cols, 0, 0))

    def attributes(self) -> ATTRIBUTES:
        """Its settings. It is held open on both sides, so they outlive the program."""
        return termios.tcgetattr(self.theirs)

    @property
    def is_raw(self) -> bool:
        return not self.attributes()[3] & (termios.ICANON | termios.ECHO | termios.ISIG)

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def read(self) -> None:
        """What there is, or the first that comes."""
        if select.select([self.ours], [], [], 0.05)[0]:
            self.seen += os.read(self.ours, 65536)

    def until(self, text: bytes) -> None:
        """Read until `text` has been shown, since the last time that was asked for."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"no {text!r} in {self.seen[-2000:]!r}"
            self.read()
        self.seen = self.seen.partition(text)[2]

    def ended(self) -> int:
        """Its exit code; everything it wrote has been read."""

        def over() -> bool:
            self.read()
            return self.process.poll() is not None

        until(over, lambda: self.seen[-2000:])
        while select.select([self.ours], [], [], 0)[0]:
            self.seen += os.read(self.ours, 65536)
        return int(self.process.returncode)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@contextlib.contextmanager
def at_terminal(
    running: Running, name: str, *argv: str, rows: int = 24, cols: int = 80
) -> Iterator[Terminal]:
    words = (*running.program, "exec", name, "--", *argv)
    terminal = Terminal(*words, environment=running.environment | {"TERM": "vt100"}, rows=rows, cols=cols)
    try:
        yield terminal
    finally:
        terminal.close()
