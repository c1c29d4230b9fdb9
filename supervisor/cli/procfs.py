"""What the files below /proc/PID say, as plain values.

Laws: pure: text in, values out. Sources: proc(5), namespaces(7), capabilities(7),
user_namespaces(7), Documentation/filesystems/proc.rst ("mountinfo").
"""

import re
from typing import Any

from supervisor.kernel.caps import NAMES

Json = dict[str, Any]

#: /proc/PID/ns entry → configuration word. The *_for_children links are about processes to come.
NAMESPACES = {
    "mnt": "mount",
    "pid": "pid",
    "uts": "uts",
    "ipc": "ipc",
    "cgroup": "cgroup",
    "net": "net",
    "user": "user",
    "time": "time",
}
#: /proc/PID/limits row → configuration word.
LIMITS = {
    "Max cpu time": "cpu",
    "Max file size": "fsize",
    "Max data size": "data",
    "Max stack size": "stack",
    "Max core file size": "core",
    "Max resident set": "rss",
    "Max processes": "nproc",
    "Max open files": "nofile",
    "Max locked memory": "memlock",
    "Max address space": "as",
    "Max file locks": "locks",
    "Max pending signals": "sigpending",
    "Max msgqueue size": "msgqueue",
    "Max nice priority": "nice",
    "Max realtime priority": "rtprio",
    "Max realtime timeout": "rttime",
}
_SETS = {
    "permitted": "CapPrm",
    "effective": "CapEff",
    "bounding": "CapBnd",
    "inheritable": "CapInh",
    "ambient": "CapAmb",
}
_SECCOMP = {0: "none", 1: "strict", 2: "filter"}
_IDS = ("real", "effective", "saved", "filesystem")
#: What is mounted below /proc and /sys to be there; anything else hides what it lies on.
_KERNELS_OWN = frozenset({"proc", "sysfs", "cgroup", "cgroup2", "securityfs", "mqueue"})
_OCTAL = re.compile(r"\\([0-7]{3})")


def status(text: str) -> Json:
    """User and group ids (four each) and groups as this machine counts them, no_new_privileges, seccomp, capabilities."""
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {
        "uid": dict(zip(_IDS, map(int, rows["Uid"].split()), strict=True)),
        "gid": dict(zip(_IDS, map(int, rows["Gid"].split()), strict=True)),
        "groups": [int(word) for word in rows["Groups"].split()],
        "no_new_privileges": rows["NoNewPrivs"].strip() == "1",
        "seccomp": {
            "mode": _SECCOMP.get(int(rows["Seccomp"]), rows["Seccomp"].strip()),
            # Before Linux 5.9 the kernel did not say.
            "filters": int(rows["Seccomp_filters"]) if "Seccomp_filters" in rows else None,
        },
        "capabilities": {word: capabilities(int(rows[row], 16)) for word, row in _SETS.items()},
    }


def capabilities(mask: int) -> list[str]:
    """The names of a set; one that is newer than this program goes by its number."""
    numbers = [number for number in range(mask.bit_length()) if mask >> number & 1]
    return [NAMES[number] if number < len(NAMES) else f"CAP_{number}" for number in numbers]


def id_map(text: str) -> list[Json]:
    """Ranges of ids: `inside` the container, `outside` on this machine."""
    rows = [[int(word) for word in line.split()] for line in text.splitlines()]
    return [{"inside": inside, "outside": outside, "count": count} for inside, outside, count in rows]


def inside(number: int, ranges: list[Json]) -> int | None:
    """What the container calls an id of this machine; None: it has no name for it."""
    for each in ranges:
        if 0 <= number - each["outside"] < each["count"]:
            return int(each["inside"] + number - each["outside"])
    return None


def limits(text: str) -> Json:
    """Word → {soft, hard} in the kernel's unit, None unlimited."""
    found = {}
    for line in text.splitlines()[1:]:
        # Columns of fixed width: the names hold spaces, and some rows have no unit.
        row, soft, hard = line[:26].strip(), line[26:47].strip(), line[47:68].strip()
        found[LIMITS.get(row, row)] = {"soft": _limit(soft), "hard": _limit(hard)}
    return found


def _limit(word: str) -> int | None:
    return None if word == "unlimited" else int(word)


def cgroups(text: str) -> dict[str, str]:
    """Controllers → path, "" for the unified hierarchy."""
    rows = [line.split(":", 2) for line in text.splitlines()]
    return {controllers: path for _, controllers, path in rows}


def mounts(text: str) -> list[Json]:
    """In the order of mounting. `root` is which part of its file system a mount shows."""
    found = []
    for line in text.splitlines():
        words, _, about = line.partition(" - ")
        _, _, device, root, target, flags, *_ = words.split()
        kind, source, whole = about.split(" ", 2)
        options = flags.split(",")
        found.append(
            {
                "target": _plain(target),
                "type": kind,
                "source": _plain(source),
                "device": device,
                "root": _plain(root),
                "options": [word for word in options if word != "idmapped"],
                # A file system that is read-only as a whole is so through every mount.
                "read_only": "ro" in options or "ro" in whole.split(","),
                "id_mapped": "idmapped" in options,
            }
        )
    return found


def _plain(word: str) -> str:
    """Space, tab, newline and backslash are written in octal."""
    return _OCTAL.sub(lambda found: chr(int(found[1], 8)), word)


def concealed(found: list[Json]) -> tuple[list[str], list[str], list[Json]]:
    """Paths below /proc and /sys that are masked; that are read-only though what holds them is not; other mounts."""
    masked, read_only, others = [], [], []
    for each in found:
        if not each["target"].startswith(("/proc/", "/sys/")):
            others.append(each)
        elif each["type"] not in _KERNELS_OWN:
            masked.append(each["target"])
        elif each["root"] != "/" and each["read_only"]:
            read_only.append(each["target"])
        else:
            others.append(each)
    return masked, read_only, others


def belongs(text: str, cgroup: str) -> bool:
    """Whether /proc/PID/cgroup tells of a process in this cgroup, a folder, or below it.

    The kernel tells paths below the reader's own root of the hierarchy, so their ends are compared:
    at least our own folder and the container's in it.
    """
    path = cgroups(text).get("", "")
    words = [word for word in path.split("/") if word not in {"", ".."}]
    wanted = cgroup.rstrip("/").split("/")
    return any(words[:length] == wanted[-length:] for length in range(2, len(words) + 1))
