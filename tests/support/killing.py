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


def zygote(running: Running) -> int:
    """Who bears the containers: it is called as they are, and is where the helper is."""
    ours = helper(running)
    home = Path(f"/proc/{ours}/cgroup").read_text()
    titled = (pid for pid, title in children(ours).items() if title.startswith(b"supervisor: init"))
    return next(pid for pid in titled if Path(f"/proc/{pid}/cgroup").read_text() == home)


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


def holders(running: Running) -> list[int]:
    """Both, once there are two."""

    def find() -> list[int] | None:
        found = children(helper(running)).items()
        both = [pid for pid, line in found if line.startswith(b"supervisor: holder") and not gone(pid)]
        return both if len(both) == 2 else None

    return running.until(find, "two holders")


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


def kill_both(running: Running, *others: int) -> None:
    """SIGKILL for both, and for others of theirs at once, the helper last: nobody is there to start any anew."""
    unprivileged, root = daemon(running), helper(running)
    os.kill(root, signal.SIGSTOP)
    for pid in (unprivileged, *others):
        os.kill(pid, signal.SIGKILL)
    kill_helper(running)
    running.until(lambda: all(map(gone, (unprivileged, *others))), "the end of all")
