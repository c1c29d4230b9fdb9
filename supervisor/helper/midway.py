"""What became of a launch whose helper was killed in the middle of it, so that no note says who its processes are.

It has come to rest since, or does in a moment: a process of it that has still something to tell the helper finds its
socket closed and ends, one that has told all goes on to the program's execve. Which of the two, and who is who, is
looked up while the container's cgroup is frozen (cgroup-v2.rst, cgroup.freeze); what has not got to its execve is ended, for
it has done nothing yet. The same run can then be launched again.
"""

import os
from typing import NamedTuple

from supervisor.helper import notes
from supervisor.kernel import cgroup
from supervisor.kernel.files import content
from supervisor.kernel.zygote import REPORT, TITLE

_PATIENCE = 10.0  # seconds for a system call under way to end


class Process(NamedTuple):
    """One of the cgroup; times as notes.start_time gives them. `told_all`: it has no report socket any more."""

    pid: int
    parent: int
    started: int
    title: bytes
    told_all: bool = False


def find_out(run: int, leaf: cgroup.Leaf, *, init: bool) -> notes.Note | None:
    """The note that the launch of `run` had come to deserve; None when it has executed nothing, and then nothing of it
    is left. `init`: PID 1 is not the service. Raises OSError or KernelError.
    """
    if not cgroup.members(leaf):
        return None
    cgroup.freeze(leaf, _PATIENCE)
    living = cgroup.members(leaf)
    pids = living.union(
        *map(_children, living)
    )  # one that has ended is its parent's child until that has reaped it
    members = [one for pid in sorted(pids) if (one := _look(pid))]
    found = judge(run, members, init=init)
    if found is None:
        cgroup.end(leaf.unified)
    cgroup.thaw(leaf)
    return found


def judge(run: int, members: list[Process], *, init: bool) -> notes.Note | None:
    """Pure: PID 1 is the one whose parent is elsewhere, the service its first child. A service that is not there any
    more has been reaped, if PID 1 has told all.
    """
    pids = {one.pid for one in members}
    first = [one for one in members if one.parent not in pids]
    if len(first) != 1:
        return None
    service = first[0]
    if init:
        children = [one for one in members if one.parent == service.pid]
        if not children:
            return notes.Note(run, service.pid, 0, service.started, 0) if service.told_all else None
        service = min(children, key=lambda one: (one.started, one.pid))
    if service.title.rstrip(b"\0") == TITLE.encode():
        return None
    return notes.Note(run, first[0].pid, service.pid, first[0].started, service.started)


def _look(pid: int) -> Process | None:
    """From proc_pid_stat(5) and proc_pid_cmdline(5); None when it is gone."""
    try:
        fields = content(f"/proc/{pid}/stat").rpartition(b") ")[2].split()
        title = content(f"/proc/{pid}/cmdline")
        return Process(pid, int(fields[1]), int(fields[19]), title, told_all=_told_all(pid))
    except (FileNotFoundError, ProcessLookupError):
        return None


def _told_all(pid: int) -> bool:
    try:
        os.readlink(f"/proc/{pid}/fd/{REPORT}")
    except FileNotFoundError:
        return True
    except OSError:  # it is not for us to look at
        return False
    return False


def _children(pid: int) -> frozenset[int]:
    """From proc_tid_children(5): none where the kernel does not tell."""
    try:
        return frozenset(map(int, content(f"/proc/{pid}/task/{pid}/children").split()))
    except OSError:
        return frozenset()
