"""What a reload changes: the difference between two configurations, as a value.

Laws:
- apply(diff(a, b), a) == b; diff(x, x) is empty.
- A container is restarted by whatever its launch is made of, and changed in place by IN_PLACE, which the
  supervisor reads again whenever it needs it. A key that is on no list restarts: it is never lost.
- Each change names its keys, in the words of the files.
- What cannot change under a running supervisor is named by `unchangeable`, and is no part of a plan.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from supervisor.core.spec import Configuration, Container, Group, Settings

#: Fields of a Container that change while it runs. Of these only `cgroup` is in its launch, and the
#: kernel takes new limits at any time.
IN_PLACE = frozenset({"cgroup", "restart", "stop", "depends", "ready", "health", "output", "on", "schedule"})
#: Fields of Settings (and `logs.NAME`) that are read again whenever they are needed.
SETTINGS_IN_PLACE = (
    "monitor",
    "ship",
    "logs.segment",
    "logs.segment_age",
    "logs.keep",
    "logs.keep_age",
    "logs.compress",
    "logs.sync",
)
#: What `subject` is called in the files, by the type of a probe.
_SUBJECTS = {"exec": "command", "http": "url", "tcp": "address", "log": "pattern"}


@dataclass(frozen=True, slots=True)
class Change:
    """One container as it is to be, and the keys that differ; `keys` are those that cause the action."""

    container: Container
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.container.name


@dataclass(frozen=True, slots=True)
class Plan:
    """`order` is that of the files; `rest` is the new configuration without its containers, None when it is
    the same, and `settings` has the keys of it that differ ("monitor.interval", "group.app.strategy").
    """

    added: tuple[Container, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[Change, ...] = ()
    changed: tuple[Change, ...] = ()
    settings: tuple[str, ...] = ()
    order: tuple[str, ...] | None = None
    rest: Configuration | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing that anybody would notice changes."""
        return not (self.added or self.removed or self.restarted or self.changed or self.settings)


def diff(old: Configuration, new: Configuration) -> Plan:
    before = {one.name: one for one in old.containers}
    after = {one.name: one for one in new.containers}
    profiles = _differing(dict(old.seccomp), dict(new.seccomp))
    restarted, changed = [], []
    for name, container in after.items():
        if name not in before:
            continue
        forcing, mild = _keys(before[name], container)
        if not forcing and container.seccomp in profiles:
            forcing = ("seccomp",)  # the same path, and another profile in it
        if forcing:
            restarted.append(Change(container, forcing))
        elif mild:
            changed.append(Change(container, mild))
    rest = replace(new, containers=())
    return Plan(
        added=tuple(one for one in after.values() if one.name not in before),
        removed=tuple(name for name in before if name not in after),
        restarted=tuple(restarted),
        changed=tuple(changed),
        settings=(*_settings(old.settings, new.settings), *_groups(old.groups, new.groups)),
        order=tuple(after) if tuple(before) != tuple(after) else None,
        rest=rest if rest != replace(old, containers=()) else None,
    )


def apply(plan: Plan, old: Configuration) -> Configuration:
    containers = {one.name: one for one in old.containers if one.name not in plan.removed}
    containers |= {change.name: change.container for change in (*plan.restarted, *plan.changed)}
    containers |= {one.name: one for one in plan.added}
    order = tuple(one.name for one in old.containers) if plan.order is None else plan.order
    return replace(plan.rest or old, containers=tuple(containers[name] for name in order))


def unchangeable(old: Settings, new: Settings) -> tuple[str, ...]:
    """Keys of [supervisor] that differ and that only a new start can take up."""
    return tuple(key for key in _differences(old, new) if not _in_place(key))


def _settings(old: Settings, new: Settings) -> tuple[str, ...]:
    return tuple(key for key in _differences(old, new) if _in_place(key))


def _in_place(key: str) -> bool:
    return any(key == one or key.startswith(f"{one}.") for one in SETTINGS_IN_PLACE)


def _groups(old: tuple[Group, ...], new: tuple[Group, ...]) -> tuple[str, ...]:
    before, after = ({one.name: one for one in groups} for groups in (old, new))
    return tuple(f"group.{key}" for key in _pairs(before, after))


def _keys(old: Container, new: Container) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The keys that force a restart, and those that do not."""
    forcing: list[str] = []
    mild: list[str] = []
    for key in _differences(old, new):
        (mild if key.partition(".")[0] in IN_PLACE else forcing).append(key)
    return tuple(forcing), tuple(mild)


# ── what differs, in the words of the files ────────────────────────────────────────────


def _differences(old: Any, new: Any) -> Iterator[str]:
    """The fields that differ in two values of the same dataclass, "restart.backoff.max" and the like."""
    for field in fields(new):
        was, now = getattr(old, field.name), getattr(new, field.name)
        if was == now:
            continue
        name = _SUBJECTS.get(getattr(new, "type", ""), field.name) if field.name == "subject" else field.name
        inner = tuple(_inside(was, now))
        yield from (f"{name}.{key}" for key in inner) if inner else (name,)


def _inside(was: Any, now: Any) -> Iterator[str]:
    """The keys within a table that differ; none where the value is no table."""
    if is_dataclass(was) and is_dataclass(now):
        yield from _differences(was, now)
    elif _is_table(was) and _is_table(now):
        yield from _pairs(dict(was), dict(now))


def _pairs(was: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    for key in _differing(was, now):
        inner = tuple(_inside(was[key], now[key])) if key in was and key in now else ()
        yield from (f"{key}.{deeper}" for deeper in inner) if inner else (key,)


def _differing(was: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    return tuple(key for key in dict.fromkeys((*now, *was)) if was.get(key) != now.get(key))


def _is_table(value: Any) -> bool:
    """A table as the spec holds it: pairs, each name once."""
    return (
        isinstance(value, tuple)
        and all(isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in value)
        and len({pair[0] for pair in value}) == len(value)
    )
