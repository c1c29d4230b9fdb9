"""From the tables of all files to one Configuration: defaults, names, replicas, cross checks.

Nothing is raised here: problems go to the sources, and what is returned counts only when there are none.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from supervisor.config import container, groups, settings
from supervisor.config.crosscheck import check_depends, check_names
from supervisor.config.identity import name as checked_name
from supervisor.config.place import Place, Source
from supervisor.config.seccomp import BY_DEFAULT
from supervisor.config.shapes import BROKEN, Given, Shape, Table, items, merge, pick, read, table, unknown
from supervisor.config.values import WrongError
from supervisor.core.seccomp import Profile
from supervisor.core.spec import Configuration, Container, Group

CONTAINER = table(container.CONTAINER)
SUPERVISOR = table(settings.SUPERVISOR)
#: Top-level keys: tables there is one of in a folder, and tables of tables by name.
SINGLE: Mapping[str, Shape] = {"supervisor": SUPERVISOR, "defaults": CONTAINER}
NAMED: Mapping[str, Shape] = {"container": CONTAINER, "group": groups.SHAPE}


class Document(NamedTuple):
    source: Source
    tables: Mapping[str, Any]


class _Found(NamedTuple):
    """What stood in the files, by top-level key; the named ones in file and line order."""

    single: dict[str, Given]
    named: dict[str, dict[str, Given]]


def parse(documents: Sequence[Document], *, cwd: str, runtime_dir: str) -> Configuration:
    """One Configuration of all documents; `cwd` and `runtime_dir` are absolute, for what the files leave out."""
    found = _Found({}, {key: {} for key in NAMED})
    for document in documents:
        _gather(document, found)
    supervisor = pick(found.single, "supervisor", Table())
    defaults = pick(found.single, "defaults", Table())
    merged = {
        name: (merge(defaults, {} if given.value is BROKEN else given.value), given.place)
        for name, given in found.named["container"].items()
    }
    containers: list[Container] = []
    for name, (given, place) in merged.items():
        containers += container.build(name, given, place)
    known = dict.fromkeys([*merged, *(each.name for each in containers)])
    check_depends(merged, known)
    return Configuration(
        settings=settings.build(supervisor, cwd=cwd, runtime_dir=runtime_dir),
        containers=tuple(containers),
        groups=_build_groups(found.named["group"], known),
        notes=_notes(merged),
        seccomp=_profiles(merged),
    )


def _gather(document: Document, found: _Found) -> None:
    """Read one file into `found`; what another place has said already is a problem."""
    for key, raw, place in items(document.tables, document.source.root()):
        if key in SINGLE:
            if key in found.single:
                place.report(f"a second [{key}] table; the first is at {found.single[key].place}")
            else:
                found.single[key] = Given(None, place)
            given = Given(read(SINGLE[key], raw, place), place)
            if found.single[key].place == place:
                found.single[key] = given
        elif key in NAMED:
            _gather_named(NAMED[key], raw, place, found.named[key])
        else:
            place.report(unknown(key, (*SINGLE, *NAMED)))


def _gather_named(shape: Shape, raw: object, place: Place, found: dict[str, Given]) -> None:
    try:
        entries = list(items(raw, place))
    except WrongError as wrong:
        place.report(str(wrong))
        return
    for name, inner, at in entries:
        given = Given(read(shape, inner, at), at)
        try:
            checked_name(name)
        except WrongError as wrong:
            at.report(str(wrong))
            continue
        if name in found:
            at.report(f"is declared twice; the first is at {found[name].place}")
        else:
            found[name] = given


def _build_groups(found: Mapping[str, Given], known: Mapping[str, object]) -> tuple[Group, ...]:
    built = []
    owner: dict[str, str] = {}
    for name, (value, place) in found.items():
        given: Table = {} if value is BROKEN else value
        built.append(groups.build(name, given, place))
        if "members" in given:
            at = given["members"].place
            check_names(built[-1].members, known, at)
            for member in built[-1].members:
                if owner.setdefault(member, name) != name:
                    at.report(f'"{member}" is already in group "{owner[member]}"')
    return tuple(built)


def _profiles(merged: Mapping[str, tuple[Table, Place]]) -> tuple[tuple[str, Profile], ...]:
    chosen = (pick(given, "seccomp", BY_DEFAULT) for given, _ in merged.values())
    return tuple({one.word: one.profile for one in chosen if one.profile}.items())


def _notes(merged: Mapping[str, tuple[Table, Place]]) -> tuple[str, ...]:
    """What is no problem, but may surprise."""
    notes = []
    for given, _ in merged.values():
        if pick(given, "network", "none") == "host" and "NET_BIND_SERVICE" not in pick(
            given, "capabilities", ()
        ):
            at = given["network"].place
            notes.append(
                f"{at}: {at.key}: ports below 1024 cannot be bound"
                ' (they need userns = "host" and capabilities = ["NET_BIND_SERVICE"])'
            )
    notes += (note for given, _ in merged.values() for note in pick(given, "seccomp", BY_DEFAULT).notes)
    if not merged:
        notes.append("no container is declared (write a [container.NAME] table)")
    return tuple(dict.fromkeys(notes))
