"""SIGKILL for the parts of a running supervisor, and its next start."""

import contextlib
import os
import signal
from pathlib import Path

from tests.support.running import Running, gone


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def helper(running: Running) -> int:
    assert running.process
    return running.process.pid


def children(pid: int) -> dict[int, bytes]:
    """Its children by PID, and how ps(1) would show them."""
    found = {}
    for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            found[int(one)] = Path(f"/proc/{one}/cmdline").read_bytes()
    return found


def daemon(running: Running) -> int:
    """The PID of the unprivileged half."""

    def find() -> int | None:
        above = running.process.pid if running.process else running.info()["pid"]
        return next((pid for pid, line in children(above).items() if b"supervisor.daemon" in line), None)

    return running.until(find, "an unprivileged half")


def holder(running: Running) -> int:
    def find() -> int | None:
        found = children(helper(running)).items()
        return next((pid for pid, line in found if line.startswith(b"supervisor: holder")), None)

    return running.until(find, "a holder")


def kill_daemon(running: Running) -> None:
    """SIGKILL for the unprivileged half; returns when its successor answers."""
    old = daemon(running)
    os.kill(old, signal.SIGKILL)
    running.until(lambda: not alive(old), "reaped")
    running.until_answering()


def kill_helper(running: Running) -> None:
    """SIGKILL for the helper; returns when it is gone."""
    assert running.process
    running.process.kill()
    running.process.wait()
    running.process = None


def kill_both(running: Running) -> None:
    """SIGKILL for both, the daemon first: nobody is there to start another."""
    unprivileged, root = daemon(running), helper(running)
    os.kill(root, signal.SIGSTOP)
    os.kill(unprivileged, signal.SIGKILL)
    kill_helper(running)
    running.until(lambda: gone(unprivileged), "the end of both")
