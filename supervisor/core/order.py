"""In which order containers start and stop, and what stands in a container's way.

Laws:
- What a container has `after` or `requires` comes first at every start and last at every stop.
- Ready means: it runs and is ready, or it ended well; a requirement is lost as soon as it neither
  runs ready nor, where `succeeded` was asked for, has ended well.
- A service stands for all its replicas.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from supervisor.core.events import Wait
from supervisor.core.machine import LIVE, Machine
from supervisor.core.spec import Container

#: These do not change by themselves soon: whoever waits for them is told so.
BLOCKING = frozenset({"backoff", "exited", "failed", "stopped"})


class Need(NamedTuple):
    """One container that another depends on."""

    name: str
    succeeded: bool = False
    required: bool = False


class Graph(NamedTuple):
    """Who needs whom, and who is needed by whom; both in the order of the files."""

    needs: Mapping[str, tuple[Need, ...]]
    dependants: Mapping[str, tuple[str, ...]]
    requirers: Mapping[str, tuple[str, ...]]


class Standing(NamedTuple):
    """What others may rely on: `ready` is that it runs and is ready, `succeeded` that it ended well.

    `blocked`: neither will come by itself soon.
    """

    state: str
    ready: bool
    succeeded: bool
    blocked: bool


def standing(machine: Machine) -> Standing:
    ended_well = (
        machine.state == "exited"
        and machine.last is not None
        and machine.last.code in machine.restart.success
    )
    waits = machine.state == "waiting" and any(wait.blocked for wait in machine.unmet)
    ready = machine.state == "running" and machine.ready
    return Standing(machine.state, ready, ended_well, waits or machine.state in BLOCKING)


def graph(containers: Iterable[Container], apart: Collection[str] = (), gated: Collection[str] = ()) -> Graph:
    """`apart` are about to be started for the first time: of the others only `gated` wait for them."""
    specs = tuple(containers)
    members: dict[str, list[str]] = {}
    for spec in specs:
        members.setdefault(spec.service or spec.name, []).append(spec.name)
    members |= {spec.name: [spec.name] for spec in specs}
    needs = {spec.name: _needs(spec, members, () if spec.name in gated else apart) for spec in specs}
    dependants: dict[str, list[str]] = {spec.name: [] for spec in specs}
    requirers: dict[str, list[str]] = {spec.name: [] for spec in specs}
    for name, wanted in needs.items():
        for need in wanted:
            dependants[need.name].append(name)
            if need.required:
                requirers[need.name].append(name)
    return Graph(
        needs,
        {name: tuple(found) for name, found in dependants.items()},
        {name: tuple(found) for name, found in requirers.items()},
    )


def _needs(spec: Container, members: Mapping[str, list[str]], apart: Collection[str]) -> tuple[Need, ...]:
    found: dict[str, Need] = {}
    for word in (*spec.depends.after, *spec.depends.requires):
        for name in members.get(word, ()):
            if name != spec.name and name not in apart:
                found[name] = Need(name, word in spec.depends.succeeded, word in spec.depends.requires)
    return tuple(found.values())


def unmet(
    needs: Iterable[Need], standings: Mapping[str, Standing], going: Collection[str] = ()
) -> tuple[Wait, ...]:
    """What of its needs is not there; `going` are about to be stopped, after what requires them."""
    found = []
    for need in needs:
        there = standings[need.name]
        if need.name in going:
            found.append(Wait(need.name, "is being stopped", blocked=False, required=need.required))
        elif not _met(need, there):
            why = _why(need, there)
            found.append(Wait(need.name, why, blocked=there.blocked, required=need.required))
    return tuple(found)


def _met(need: Need, there: Standing) -> bool:
    if need.succeeded:
        return there.succeeded
    return there.ready or (there.succeeded and not need.required)


def _why(need: Need, there: Standing) -> str:
    state = "in backoff" if there.state == "backoff" else there.state
    if need.succeeded:
        return f"has not ended well (it is {state})"
    if there.state == "running":
        return "is not ready yet"
    return f"is {state}"


def closure(names: Iterable[str], edges: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """All that can be reached from `names`, without them unless a circle leads back."""
    found: dict[str, None] = {}
    rest = [each for name in names for each in edges[name]]
    while rest:
        name = rest.pop()
        if name not in found:
            found[name] = None
            rest += edges[name]
    return tuple(found)


def sequence(names: Iterable[str], needs: Mapping[str, Iterable[Need]]) -> tuple[str, ...]:
    """`names` in the order of their start: as given, but none before what it needs."""
    wanted = dict.fromkeys(names)
    done: dict[str, None] = {}

    for first in wanted:
        stack = [first]
        while stack:
            name = stack[-1]
            missing = [need.name for need in needs[name] if need.name in wanted and need.name not in done]
            missing = [each for each in missing if each not in stack]
            if missing and name not in done:
                stack.append(missing[0])
                continue
            done[stack.pop()] = None
    return tuple(done)


def is_down(machine: Machine) -> bool:
    """Nothing of it lives."""
    return machine.state not in LIVE
