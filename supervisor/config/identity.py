"""What a container may be and do: names of namespaces, capabilities, resource limits, devices.

Sources: linux/capability.h, getrlimit(2), namespaces(7).
"""

import re
from typing import Any

from supervisor.config.place import Place
from supervisor.config.shapes import BROKEN, Shape, leaf, list_of, mapping
from supervisor.config.units import LARGEST, LAST_ID, duration
from supervisor.config.values import CONTROL, WrongError, inside_path, nearest, show, text
from supervisor.core.spec import DEFAULT_NAMESPACES

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")

# fmt: off
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID",
    "SETPCAP", "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW",
    "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT",
    "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM",
    "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)
_RLIMITS = (
    "as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
    "rss", "rtprio", "rttime", "sigpending", "stack",
)
# fmt: on
_UNLIMITED = -1
_CLOCKS = ("monotonic", "boottime")
_IDS = 65536  # of one container
_POOL = re.compile(r"([1-9][0-9]{0,9}):([1-9][0-9]{0,9})")

#: Namespaces that other keys decide, and what to write instead of naming them.
_GOVERNED = {
    "net": 'follows the key network (write network = "none" or "host")',
    "user": 'follows the key userns (write userns = "private" or "host")',
    "time": "follows the key time_offsets",
}


def name(word: str) -> str:
    """A name of a container or group; `supervisor` is the folder of the supervisor's own records."""
    if not NAME.fullmatch(word):
        raise WrongError(f"{show(word)} is not a name (use [a-z0-9][a-z0-9_-]{{0,62}})")
    if word == "supervisor":
        raise WrongError('"supervisor" is the name of the supervisor\'s own records (use another)')
    return word


def _capability(value: object) -> str:
    word = text(value).upper().removeprefix("CAP_")
    if word not in CAPABILITIES:
        hint = " (list each one)" if word == "ALL" else nearest(word, CAPABILITIES)
        raise WrongError(f"{show(value)} is not a capability{hint}")
    return word


def _rlimit_name(word: str) -> str:
    if word not in _RLIMITS:
        raise WrongError(f"unknown resource limit{nearest(word.lower().removeprefix('rlimit_'), _RLIMITS)}")
    return word


def _rlimit(value: object) -> int:
    """Soft and hard limit in the kernel's unit; -1 is unlimited."""
    if value == "unlimited":
        return _UNLIMITED
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise WrongError(f'{show(value)} is not a limit (write a whole number from 0 up, or "unlimited")')
    return value


def _namespace(value: object) -> str:
    word = text(value)
    if word in _GOVERNED:
        raise WrongError(f"{show(word)} {_GOVERNED[word]}")
    if word not in DEFAULT_NAMESPACES:
        raise WrongError(f"{show(word)} is not a namespace (write {', '.join(DEFAULT_NAMESPACES)})")
    return word


def _namespaces(value: object, place: Place) -> Any:
    given = _NAMESPACES.parse(value, place)
    if given is not BROKEN and "mount" not in given:
        raise WrongError('"mount" is missing: without it there is no root directory of its own')
    # In the order of DEFAULT_NAMESPACES, so that equal sets are equal specs.
    return given if given is BROKEN else tuple(each for each in DEFAULT_NAMESPACES if each in given)


def _clock(word: str) -> str:
    if word not in _CLOCKS:
        raise WrongError(f"{show(word)} is not a clock that can be shifted (monotonic or boottime)")
    return word


def id_pool(value: object) -> tuple[int, int]:
    """(first, count) of `"FIRST:COUNT"`, the form of subuid(5); no id of it may be the machine's own root."""
    match = _POOL.fullmatch(text(value))
    first, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not first or count < _IDS or first + count - 1 > LAST_ID:
        raise WrongError(
            f'{show(value)} is not a range of ids (write "FIRST:COUNT", like "524288:6553600", 65536 or more)'
        )
    return first, count


def _device(value: object) -> str:
    node = inside_path(value)
    if not node.startswith("/dev/"):
        raise WrongError(f'{show(node)} is not a device node (write its path, like "/dev/fuse")')
    return node


def _distinct(shape: Shape) -> Shape:
    """The list without what it says twice."""

    def parse(value: object, place: Place) -> Any:
        given = shape.parse(value, place)
        return given if given is BROKEN else tuple(dict.fromkeys(given))

    return Shape(parse, shape.schema)


_NAMESPACES = list_of(leaf(_namespace, enum=list(DEFAULT_NAMESPACES)))
NAMESPACES = Shape(_namespaces, _NAMESPACES.schema)
CAPABILITY_LIST = _distinct(list_of(leaf(_capability, type="string", pattern="^(CAP_)?[A-Z_]+$")))
RLIMITS = mapping(
    _rlimit_name, leaf(_rlimit, type=["integer", "string"], minimum=0), propertyNames={"enum": list(_RLIMITS)}
)
TIME_OFFSETS = mapping(_clock, leaf(duration, type="string"), propertyNames={"enum": list(_CLOCKS)})
DEVICES = _distinct(list_of(leaf(_device, type="string", pattern="^/dev/")))


def name_of(value: object) -> str:
    """As `name`, for a name that is a value; `web.2` names a replica."""
    word = text(value)
    base, dot, replica = word.partition(".")
    if CONTROL.search(word) or (dot and not replica.isdigit()):
        raise WrongError(f"{show(word)} is not a name of a container")
    name(base)
    return word


def _each_once(shape: Shape) -> Shape:
    """The list, whose order says something: a word that comes twice is refused."""

    def parse(value: object, place: Place) -> Any:
        given = shape.parse(value, place)
        if given is BROKEN:
            return given
        for index, each in enumerate(given):
            if each in given[:index]:
                place.at(index).report(f"{show(each)} is in the list already")
        return given

    return Shape(parse, {**shape.schema, "uniqueItems": True})


_NAMES = list_of(leaf(name_of, type="string"))
NAMES = _distinct(_NAMES)
NAMES_IN_ORDER = _each_once(_NAMES)
