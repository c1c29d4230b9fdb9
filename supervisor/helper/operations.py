"""The operations that steps name, made ready to be carried out. By name, as data: there is no other way to one.

Most are programs of system calls, spelled out before the fork (helper.programs). The others have something to
decide: they are functions, and why each is safe stands beside it in helper.build, hostview, devices, confine and
entry.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from supervisor.helper import build, confine, devices, entry, hostview
from supervisor.helper.programs import PROGRAMS, SHARED, Site
from supervisor.helper.steps import Step, Steps
from supervisor.helper.workplace import Workplace
from supervisor.kernel.program import Program, run

Operation = Callable[..., None]

OPERATIONS: dict[str, Operation] = {
    # out of the container's sight
    "shift-time": build.shift_time, "overlay-root": build.overlay_root, "own": hostview.own, "show": hostview.show,
    "copy": hostview.copy, "tmpfs": build.tmpfs, "bind": build.bind, "show-at": build.show_tree, "show-node": devices.show_node,
    "device": devices.device, "network": build.network, "join-network": build.join_network,
    # in it
    "lookup": confine.lookup, "output": confine.output, "become": confine.become,
    "capabilities": confine.capabilities, "workdir": confine.workdir, "filter": confine.filter_calls,
    "await-init": confine.await_init, "exec": confine.execute, "spawn": confine.spawn,
    # into what lives already
    "setns": entry.setns, "pipes": entry.pipes, "own-pipe": entry.own_pipe, "own-session": entry.own_session, "streams": entry.streams,
    "terminal": entry.terminal,
}  # fmt: skip
#: Where / is no mount that pivot_root could leave: in a chroot, on an initramfs.
ELSEWHERE: dict[str, Operation] = {"private": build.private, "enter": build.enter}

#: What a container alone has: its cgroups, its ids, its name.
OWN = frozenset({"join", "own-ids", "hostname"})
_spelled: dict[tuple[str, tuple[Any, ...], Site | None], Program] = {}


class Task(NamedTuple):
    """A step made ready."""

    stage: str
    operation: Operation
    args: tuple[Any, ...]


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
    return tuple(_ready(step, site) for step in steps)


def _ready(step: Step, site: Site) -> Task:
    operation = OPERATIONS.get(step.op) or (None if site.plain else ELSEWHERE.get(step.op))
    if operation:
        return Task(step.stage, operation, step.args)
    return Task(step.stage, _carry_out, (_program(step, site),))


def _carry_out(work: Workplace, program: Program) -> None:
    run(program, work.slots)


def _program(step: Step, site: Site) -> Program:
    """Spelled out once for all containers, but for what is one container's own: a thousand of them share their pages."""
    if step.op in OWN:
        return PROGRAMS[step.op](site, *step.args)
    common = site._replace(folders=(), ids=min(site.ids, 0)) if step.op in PROGRAMS else None
    key = (step.op, step.args, common)
    if key not in _spelled:
        first = (common,) if common else ()
        _spelled[key] = (PROGRAMS if common else SHARED)[step.op](*first, *step.args)
    return _spelled[key]
