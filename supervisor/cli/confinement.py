"""The confinement of a running container, as the kernel reports it.

Laws: everything is read through one descriptor of /proc/PID, which never comes to mean another
process; it is believed only if that process stands in the container's cgroup, and if the
supervisor still tells of the same run afterwards. What may not be read is named, never guessed.
"""

import os
from collections.abc import Callable
from typing import Any

from supervisor.cli import procfs

Json = dict[str, Any]
#: Whether the text of /proc/PID/cgroup is about this cgroup.
Belongs = Callable[[str, str], bool]
#: A container that restarts meanwhile is looked at again, this often.
ATTEMPTS = 3

NOT_RUNNING = "it does not run"
NOT_SEEN = "its process cannot be seen from here: use root, in the supervisor's own PID namespace"
NOT_STILL = "it ended while it was looked at"


def effective(ask: Callable[[], Json], belongs: Belongs = procfs.belongs) -> tuple[Json, str]:
    """What the supervisor tells of a container with `confinement` (None if there is none); and why there is none."""
    found, why = ask(), NOT_RUNNING
    for _ in range(ATTEMPTS):
        pid, run = found.get("pid"), found.get("run")
        if not isinstance(pid, int):  # the daemon is not trusted to lead root anywhere else
            return found | {"confinement": None}, NOT_RUNNING
        seen = read(pid, found.get("cgroup") or "", belongs)
        found = ask()
        if (found.get("pid"), found.get("run")) != (pid, run):
            why = NOT_STILL
        elif seen is not None:
            return found | {"confinement": seen}, ""
        else:
            why = NOT_SEEN
    return found | {"confinement": None}, why


def read(pid: int, cgroup: str, belongs: Belongs = procfs.belongs) -> Json | None:
    """What /proc says of process `pid`; None if it is not there, or not in `cgroup`."""
    try:
        process = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not belongs(_text(process, "cgroup"), cgroup):
            return None
        return {"pid": pid, **_read(process)}
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended
    finally:
        os.close(process)


def _read(process: int) -> Json:
    found = procfs.status(_text(process, "status"))
    maps = {kind: procfs.id_map(_text(process, f"{kind}_map")) for kind in ("uid", "gid")}
    masked, read_only, mounts = procfs.concealed(procfs.mounts(_text(process, "mountinfo")))
    needs_root: list[str] = []

    def if_permitted(what: str, look: Callable[[int], Json]) -> Json | None:
        try:
            return look(process)
        except PermissionError:
            needs_root.append(what)
            return None

    return {
        **found,
        "inside": {kind: procfs.inside(found[kind]["effective"], maps[kind]) for kind in ("uid", "gid")}
        | {"groups": [procfs.inside(number, maps["gid"]) for number in found["groups"]]},
        "id_maps": maps,
        "namespaces": if_permitted("namespaces", _namespaces),
        "program": if_permitted("program", _program),
        "cgroups": procfs.cgroups(_text(process, "cgroup")),
        "limits": procfs.limits(_text(process, "limits")),
        "mounts": mounts,
        "masked": masked,
        "read_only": read_only,
        "needs_root": needs_root,
    }


def _text(process: int, name: str) -> str:
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=process)
    with os.fdopen(descriptor, "rb") as file:
        return file.read().decode(errors="surrogateescape")


def _namespaces(process: int) -> Json:
    """Word → {id, own}; not `own`: it is the reader's too."""
    found = {}
    for link, word in procfs.NAMESPACES.items():
        try:
            ours = os.readlink(f"/proc/self/ns/{link}")
        except FileNotFoundError:
            continue  # a kernel without this kind
        theirs = os.readlink(f"ns/{link}", dir_fd=process)
        found[word] = {"id": int(theirs.split("[")[1].rstrip("]")), "own": theirs != ours}
    return found


def _program(process: int) -> Json:
    """`own_root`: its / is not the reader's."""
    root, ours = os.stat("root/", dir_fd=process), os.stat("/")
    return {
        "exe": os.readlink("exe", dir_fd=process),
        "cwd": os.readlink("cwd", dir_fd=process),
        "own_root": (root.st_dev, root.st_ino) != (ours.st_dev, ours.st_ino),
    }
