"""The steps by which a command enters a container that lives already: pure, and data, as helper.steps."""

from typing import NamedTuple

from supervisor.helper.asked import Visit
from supervisor.helper.protocol import Launch
from supervisor.helper.steps import Step, confinement, rlimits


class VisitSteps(NamedTuple):
    """`visitor` are the helper's child's, on its way in; `command` those of its own child, inside."""

    visitor: tuple[Step, ...]
    command: tuple[Step, ...]


#: Of whoever looks at a container from beside it.
LOOKING = (Step("cgroup", "join"), Step("keyring", "keyring"))


def probing(launch: Launch, programs: tuple[bytes, ...], argv: tuple[str, ...]) -> VisitSteps:
    """As visiting, for a command that nobody but the waiter listens to."""
    visitor, command = visiting(launch, programs, Visit(launch.name, argv))
    return VisitSteps((*visitor[:-1], Step("streams", "own-pipe")), command)


def visiting(launch: Launch, programs: tuple[bytes, ...], visit: Visit) -> VisitSteps:
    """The container's cgroup and namespaces, then all that its service took before its own execve.

    A terminal is opened by whom the command will be: by nothing that a hostile /dev could misuse.
    """
    names = (*launch.namespaces, *(("time",) if launch.time_offsets else ()))
    taken = confinement(launch, programs)
    confined = [step.op for step in taken].index("workdir") + 1
    if visit.tty:
        env = (
            *(pair for pair in launch.env if pair[0] != "TERM"),
            *((("TERM", visit.term),) if visit.term else ()),
        )
        terminal: tuple[Step, ...] = (Step("terminal", "terminal", (visit.rows, visit.cols)),)
    else:
        env, terminal = launch.env, ()
    return VisitSteps(
        (
            Step("cgroup", "join"),
            Step("keyring", "keyring"),
            Step("namespaces", "setns", (names,)),
            *(() if visit.tty else (Step("streams", "pipes"),)),
        ),
        (
            Step("user", "lookup", (launch.user, launch.groups)),
            Step("session", "own-session"),
            *rlimits(launch),
            *(() if visit.tty else (Step("streams", "streams"),)),
            *taken[:confined],
            *terminal,
            *taken[confined:],
            Step("exec", "exec", (visit.argv, env)),
        ),
    )
