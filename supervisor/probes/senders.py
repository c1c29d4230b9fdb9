"""Whether who said something is a process of a container: by what the kernel says of it, never by its own word.

A sender's PID and user id come with its words (SCM_CREDENTIALS, unix(7)). A process is in the container's cgroup, and
whoever has ended already can still be told by a user id, where the container has ids that nobody else has.
"""

from contextlib import suppress

IDS = 65536
_MOST = 4096  # processes that are looked through for one


def belongs(pid: int, uid: int, name: str, ids: int) -> bool:
    """`name` is the container's cgroup, beside our own; `ids` the first of its user ids, -1: the host's."""
    there = _cgroup(pid) if pid > 0 else None
    if there is None:
        return ids <= uid < ids + IDS if ids >= 0 else False
    ours = (_cgroup("self") or "").rpartition("/")[0]
    return f"{there}/".startswith(f"{ours}/{name}/")


def _cgroup(process: int | str) -> str | None:
    """Its path in the v2 hierarchy (cgroups(7)); None when it is gone, or not ours to see."""
    try:
        with open(f"/proc/{process}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    return next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)


def outside(folder: str, inner: int) -> int | None:
    """The PID here of the process of the cgroup `folder` that has the PID `inner` in the innermost of its PID namespaces."""
    with suppress(OSError), open(f"{folder}/cgroup.procs", encoding="ascii") as file:
        for pid in map(int, file.read().split()[:_MOST]):
            if _innermost(pid) == inner:
                return pid
    return None


def _innermost(pid: int) -> int:
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0
