"""The operations that steps name, made ready to be carried out. By name, as data: there is no other way to one.

Most are programs of system calls, spelled out before the fork (helper.programs). The others have something to
decide: they are functions, and why each is safe stands beside it in helper.build, hostview, devices, confine and
entry.
"""

from collections.abc import Callable
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

from supervisor.helper import build, confine, devices, entry, hostview
from supervisor.helper.programs import PROGRAMS, SHARED, Site
from supervisor.helper.steps import Step, Steps
from supervisor.helper.workplace import Workplace
from supervisor.kernel.program import Packed, Program, pack, run

Operation = Callable[..., None]

OPERATIONS: dict[str, Operation] = {
    # out of the container's sight
    "shift-time": build.shift_time, "overlay-root": build.overlay_root, "own": hostview.own, "show": hostview.show,
    "copy": hostview.copy, "tmpfs": build.tmpfs, "bind": build.bind, "show-at": build.show_tree, "show-node": devices.show_node,
    "device": devices.device, "network": build.network, "join-network": build.join_network,
    # in it
    "lookup": confine.lookup, "output": confine.output, "become": confine.become,
    "capabilities": confine.capabilities, "workdir": confine.workdir,
    "await-init": confine.await_init, "exec": confine.execute, "spawn": confine.spawn,
    # into what lives already
    "setns": entry.setns, "pipes": entry.pipes, "own-pipe": entry.own_pipe, "own-session": entry.own_session, "streams": entry.streams,
    "terminal": entry.terminal,
}  # fmt: skip
#: Where / is no mount that pivot_root could leave: in a chroot, on an initramfs.
ELSEWHERE: dict[str, Operation] = {"private": build.private, "enter": build.enter}

#: What a container alone has: its cgroups, its ids, its name.
OWN = frozenset({"join", "own-ids", "hostname"})


class Task(NamedTuple):
    """A step made ready; or several of them, one program: `stages` says of each call whose it is."""

    stage: str
    operation: Operation
    args: tuple[Any, ...]
    stages: tuple[str, ...] = ()


class Tasks(NamedTuple):
    """`helper.steps.Steps`, made ready; `spawns`: PID 1 takes the service's steps itself."""

    first: tuple[Task, ...]
    aside: tuple[Task, ...]
    root: tuple[Task, ...]
    service: tuple[Task, ...]
    filters: tuple[bytes, ...]
    spawns: bool


def prepare_launch(steps: Steps, site: Site) -> Tasks:
    return Tasks(
        first=prepare(steps.first, site),
        aside=prepare(steps.aside, site),
        root=prepare(steps.root, site),
        service=prepare(steps.service, site),
        filters=steps.filters,
        spawns=steps.service[-1].op == "spawn",
    )


def prepare(steps: tuple[Step, ...], site: Site) -> tuple[Task, ...]:
    """Steps that are programs, one after the other, become one: the fewer of them, the less a launch has to look at."""
    tasks: list[Task] = []
    for shared, group in groupby(steps, lambda step: _kind(step, site)):
        if shared is None:
            tasks += (Task(step.stage, _operation(step), step.args) for step in group)
        elif shared:
            tasks.append(_shared(tuple(group), site._replace(folders=(), ids=min(site.ids, 0))))
        else:
            tasks.append(_joined(tuple(group), site))
    return tuple(tasks)


def _kind(step: Step, site: Site) -> bool | None:
    """Whether the step's program may be the same in all containers; None where it is none."""
    if step.op in OPERATIONS or (step.op in ELSEWHERE and not site.plain):
        return None
    return step.op not in OWN


def _operation(step: Step) -> Operation:
    return OPERATIONS.get(step.op) or ELSEWHERE[step.op]


def _spell(step: Step, site: Site) -> Program:
    return PROGRAMS[step.op](site, *step.args) if step.op in PROGRAMS else SHARED[step.op](*step.args)


def _joined(steps: tuple[Step, ...], site: Site) -> Task:
    parts = [(step.stage, _spell(step, site)) for step in steps]
    program = tuple(call for _, calls in parts for call in calls)
    stages = tuple(stage for stage, calls in parts for _ in calls)
    return Task(parts[0][0], _carry_out, (pack(program),), stages)


_shared = cache(_joined)  # once for all containers: a thousand of them share their pages


def _carry_out(work: Workplace, program: Packed) -> None:
    run(program, work.slots)
