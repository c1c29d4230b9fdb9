"""A container's confinement for people: short lines, names for numbers.

Laws: pure; what came from a container is made safe first; nothing that weakens is left out:
where a thing is the machine's own, the line says so.
"""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from supervisor.cli.render import WIDTH, size, word

Json = Mapping[str, Any]
#: Of mount options these say what can be done there; the others are about bookkeeping.
_TELLING = ("nosuid", "nodev", "noexec", "nosymfollow")
_BYTES = frozenset({"as", "core", "data", "fsize", "memlock", "msgqueue", "rss", "stack"})
_EVERY_ID = 4_294_967_295


def lines(found: Json | None, why: str) -> Iterator[str]:
    """The section `confinement` of `supervisor inspect`."""
    if found is None:
        yield f"confinement: {why}"
        return
    yield f"confinement: what the kernel says of process {found['pid']}"
    if found["needs_root"]:
        yield f"  not readable without root: {' '.join(found['needs_root'])}"
    yield from _account(found)
    yield from _capabilities(found["capabilities"])
    yield f"  no new privileges: {'yes' if found['no_new_privileges'] else 'no'}"
    yield f"  seccomp: {_seccomp(found['seccomp'])}"
    yield from _namespaces(found["namespaces"])
    yield from _program(found["program"])
    yield from _cgroups(found["cgroups"])
    yield from _wrapped("limits", _limits(found["limits"]))
    yield "  mounts:"
    yield from _mounts(found["mounts"])
    yield from _wrapped("masked", found["masked"])
    yield from _wrapped("read-only", found["read_only"])


def _account(found: Json) -> Iterator[str]:
    here, inside = found["uid"], found["inside"]
    uid, gid = here["effective"], found["gid"]["effective"]
    private = _is_private(found["id_maps"]["uid"])
    account = f"{_known(inside['uid'])}:{_known(inside['gid'])} inside, {uid}:{gid} on this machine"
    yield f"  account: {account if private else f'{uid}:{gid}'}"
    for kind, name in (("uid", "user"), ("gid", "group")):
        if len({*found[kind].values()}) > 1:
            yield f"  {name} ids differ: " + ", ".join(f"{key} {each}" for key, each in found[kind].items())
    groups = inside["groups"] if private else found["groups"]
    yield from _wrapped("groups", map(_known, groups))
    uids, gids = (_ranges(found["id_maps"][kind]) for kind in ("uid", "gid"))
    yield from ((f"  ids: {uids}",) if uids == gids else (f"  user ids: {uids}", f"  group ids: {gids}"))


def _known(number: int | None) -> str:
    return "?" if number is None else str(number)


def _is_private(ranges: list[Json]) -> bool:
    return ranges != [{"inside": 0, "outside": 0, "count": _EVERY_ID}]


def _ranges(ranges: list[Json]) -> str:
    if not _is_private(ranges):
        return "the machine's own"
    return ", ".join(
        f"{each['inside']} inside is {each['outside']}"
        if each["count"] == 1
        else f"{each['inside']}-{each['inside'] + each['count'] - 1} inside are "
        f"{each['outside']}-{each['outside'] + each['count'] - 1}"
        for each in ranges
    )


def _capabilities(sets: Json) -> Iterator[str]:
    """Equal sets on one line."""
    yield "  capabilities:"
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, members in sets.items():
        alike.setdefault(tuple(members), []).append(name)
    for members, names in alike.items():
        yield from _wrapped(", ".join(names), members, "    ")


def _seccomp(found: Json) -> str:
    if found["mode"] != "filter":
        return str(found["mode"])
    count = found["filters"]
    return "filter" if count is None else f"filter ({count} in force)"


def _namespaces(found: Json | None) -> Iterator[str]:
    if found is None:
        return
    for name, own in (("own", True), ("the machine's", False)):
        chosen = [each for each, about in found.items() if about["own"] is own]
        if chosen or own:
            yield from _wrapped(f"{name} namespaces", chosen)


def _program(found: Json | None) -> Iterator[str]:
    if found is None:
        return
    yield f"  program: {word(found['exe'])}"
    yield f"  working directory: {word(found['cwd'])}"
    yield "  root: " + ("own" if found["own_root"] else "the machine's")


def _cgroups(found: Mapping[str, str]) -> Iterator[str]:
    """Hierarchies with the same path on one line."""
    alike: dict[str, list[str]] = {}
    for controllers, path in found.items():
        alike.setdefault(path, []).append(controllers or "v2")
    for path in sorted(alike, key=lambda path: "v2" not in alike[path]):
        yield from _wrapped(f"cgroup {word(path)}", sorted(alike[path], key=lambda each: each != "v2"))


def _limits(found: Json) -> Iterator[str]:
    """Those that limit."""
    for name, each in found.items():
        soft, hard = (_limit(name, each[kind]) for kind in ("soft", "hard"))
        if each["soft"] is not None or each["hard"] is not None:
            yield f"{name}={soft}" if soft == hard else f"{name}={soft}/{hard}"


def _limit(name: str, value: int | None) -> str:
    if value is None:
        return "unlimited"
    return size(value) if name in _BYTES and value else str(value)


def _mounts(found: list[Json]) -> Iterator[str]:
    rows = [(word(each["target"]), word(each["type"]), _options(each)) for each in found]
    widest = [min(36, max((len(row[column]) for row in rows), default=0)) for column in (0, 1)]
    for target, kind, options in rows:
        yield f"    {target.ljust(widest[0])} {kind.ljust(widest[1])} {options}"


def _options(found: Json) -> str:
    telling = [each for each in _TELLING if each in found["options"]]
    access = "ro" if found["read_only"] else "rw"
    return " ".join([access, *telling, *(["id-mapped"] if found["id_mapped"] else [])])


def _wrapped(name: str, words: Iterable[str], indent: str = "  ") -> Iterator[str]:
    """`name: words …` in lines of the usual width."""
    text = " ".join(word(each).replace(" ", "\N{NO-BREAK SPACE}") for each in words) or "none"
    yield from (
        line.replace("\N{NO-BREAK SPACE}", " ")
        for line in textwrap.wrap(
            text,
            WIDTH,
            initial_indent=f"{indent}{name}: ",
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
