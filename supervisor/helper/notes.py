"""Which processes a run has, noted for a helper that comes after: RUNTIME_DIR/containers/NAME/run.

A PID alone proves nothing, since the kernel gives it to others; with the time its process started it
names one process for ever.
"""

import os
import select
import signal
import socket
import struct
from contextlib import suppress
from typing import NamedTuple

from supervisor.kernel.files import content

_CREDENTIALS = struct.Struct("3i")
#: For what comes with a service's word.
ROOM = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4)


class Note(NamedTuple):
    """PIDs, and their start times as `start_time` gives them; 0 while the launch has not said who they are."""

    run: int
    init: int
    service: int
    init_start: int
    service_start: int


def begin(folder: str, run: int) -> None:
    """That it is being launched: who its processes are, `write` says. Before anything of it is born, so in place."""
    file = os.open(f"{folder}/run", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, b"%d 0 0 0 0\n" % run)
    finally:
        os.close(file)


def write(folder: str, run: int, init: int, service: int, pidfd: int) -> None:
    """Whole or not at all: a reader sees the old note or the new one. `pidfd` is the service's."""
    started = start_time(service)
    if has_ended(pidfd):
        started = 0  # PID 1 may have reaped it already, and another process have its number
    text = f"{run} {init} {service} {start_time(init)} {started}\n"
    path = f"{folder}/run"
    file = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
    os.rename(f"{path}.new", path)


def has_ended(pidfd: int) -> bool:
    if pidfd < 0:
        return True
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def remove(folder: str) -> None:
    """One that stays names processes that are gone, and so nobody (see `start_time`)."""
    with suppress(OSError):
        os.unlink(f"{folder}/run")


def read(folder: str) -> Note | None:
    """None without a note, or with one that is not whole."""
    try:
        return Note(*map(int, content(f"{folder}/run").split()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def pidfd(pid: int) -> int:
    """A descriptor of a process; -1 when it is gone. Raises OSError without room for one."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def known(pid: int, started: int, members: frozenset[int]) -> int:
    """The pidfd of the process that was noted, -1 when it is gone: none that began at another time, or that is not
    among the `members` of the container's cgroup, is taken for it. Raises OSError without room for one.
    """
    found = pidfd(pid) if pid in members else -1
    if found >= 0 and start_time(pid) != started:  # asked after: the descriptor says who is meant
        os.close(found)
        return -1
    return found


def signal_service(folder: str, members: frozenset[int], number: int) -> None:
    """To the service that is noted, if it is still there; `members` are those of its cgroup. Raises OSError."""
    note = read(folder)
    found = known(note.service, note.service_start, members) if note else -1
    if found >= 0:
        try:
            signal.pidfd_send_signal(found, number)
        finally:
            os.close(found)


def introduced(extra: list[tuple[int, int, bytes]]) -> tuple[int, int]:
    """(PID, pidfd) of a service, from what came with its word: its credentials, as the kernel vouches for them."""
    told = {kind: data for _, kind, data in extra}
    pid = _CREDENTIALS.unpack(told[socket.SCM_CREDENTIALS])[0]
    return pid, pidfd(pid)


def start_time(pid: int) -> int:
    """Clock ticks after boot at which the process started (proc(5), stat field 22); 0 when it is gone."""
    try:
        return int(content(f"/proc/{pid}/stat").rpartition(b") ")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0
