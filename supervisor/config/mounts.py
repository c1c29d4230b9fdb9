"""Mounts of a container: words of mount(8), targets inside the root, sources on the host."""

import os.path
import re
from typing import Any

from supervisor.config.place import Place
from supervisor.config.shapes import (
    BROKEN,
    Given,
    Key,
    Keys,
    Shape,
    Table,
    leaf,
    list_of,
    pick,
    table,
    words,
)
from supervisor.config.units import size
from supervisor.config.values import WrongError, inside_path, nearest, normal, path, show, text
from supervisor.core.spec import Mount

#: The supervisor mounts these itself; a mount over them would undo the confinement.
_OWN = ("/", "/proc", "/sys", "/dev")
_FLAGS = ("ro", "rw", "nosuid", "suid", "nodev", "dev", "noexec", "exec")
_OPPOSITES = (("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec"))
_MODE = re.compile(r"mode=([01]?[0-7]{3})")


def host_path(value: object, place: Place) -> str:
    """An absolute, normalised path on this machine; a relative one is relative to the file that names it."""
    return normal(os.path.join(place.source.folder, path(value)))


def _target(value: object) -> str:
    target = inside_path(value)
    if target in _OWN:
        raise WrongError(f"{show(target)} is the supervisor's own mount (mount below it, or elsewhere)")
    return target


def _option(value: object) -> str:
    """One word; `size=` in bytes and `mode=` in octal are for a tmpfs."""
    word = text(value)
    if word in _FLAGS or _MODE.fullmatch(word):
        return word
    if word.startswith("size="):
        return f"size={size(word.removeprefix('size='))}"
    if word.startswith("mode="):
        raise WrongError(f'{show(word)} is not a mode (write octal digits, like "mode=1777")')
    raise WrongError(f"{show(word)} is not a mount option{nearest(word, (*_FLAGS, 'size=', 'mode='))}")


KEYS: Keys = {
    "type": Key(words("bind", "tmpfs"), "a host file or directory, or memory"),
    "source": Key(Shape(host_path, {"type": "string"}), "what a bind mount shows, on this machine"),
    "target": Key(leaf(_target, type="string", pattern="^/"), "absolute path inside the container"),
    "options": Key(
        list_of(leaf(_option, type="string")),
        "ro rw nosuid suid nodev dev noexec exec; for a tmpfs also size=64MiB and mode=1777",
    ),
}
_TABLE = table(KEYS, required=("type", "target"))


def _parse_mount(value: object, place: Place) -> Any:
    given: Table = _TABLE.parse(value, place)
    kind = pick(given, "type", "")
    for name, example in (("type", '"bind" or "tmpfs"'), ("target", "an absolute path inside the container")):
        if name not in given:
            place.at(name).report(f"is missing (write {example})")
    if kind == "bind" and "source" not in given:
        place.at("source").report("is missing: a bind mount shows something of this machine")
    if kind == "tmpfs" and "source" in given:
        given["source"].place.report('goes with type = "bind"; a tmpfs has none')
    options = pick(given, "options", ())
    _check_options(options, kind, place.at("options"))
    if kind not in ("bind", "tmpfs") or pick(given, "target", "") == "":
        return BROKEN
    return Mount(kind, pick(given, "target", ""), pick(given, "source", ""), tuple(dict.fromkeys(options)))  # type: ignore[arg-type]


def _check_options(options: tuple[str, ...], kind: str, place: Place) -> None:
    for one, other in _OPPOSITES:
        if one in options and other in options:
            place.report(f'"{one}" and "{other}" contradict each other')
    sized = [word for word in options if "=" in word]
    if kind == "bind" and sized:
        place.report(f"{show(sized[0])} is for a tmpfs, not for a bind mount")
    for name in ("size=", "mode="):
        if sum(word.startswith(name) for word in sized) > 1:
            place.report(f'"{name}" is given twice')


_EACH = list_of(Shape(_parse_mount, _TABLE.schema))


def _parse_mounts(value: object, place: Place) -> tuple[Mount, ...]:
    mounts: tuple[Mount, ...] = _EACH.parse(value, place)
    if mounts is BROKEN:
        return BROKEN
    first: dict[str, Given] = {}
    for index, mount in enumerate(mounts):
        at = place.at(index, "target")
        if mount.target in first:
            at.report(f"{show(mount.target)} is mounted twice; the first is at {first[mount.target].place}")
        first.setdefault(mount.target, Given(mount, at))
    return mounts


MOUNTS = Shape(_parse_mounts, _EACH.schema)
