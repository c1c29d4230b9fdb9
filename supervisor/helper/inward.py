"""The steps by which a command enters a container that lives already: pure, and data, as helper.steps."""

from supervisor.helper.accounts import Account
from supervisor.helper.asked import Visit
from supervisor.helper.protocol import Launch
from supervisor.helper.steps import Filters, Step, confinement, rlimits

#: Of whoever looks at a container from beside it.
LOOKING = (Step("cgroup", "join"), Step("keyring", "keyring"))


def visiting(launch: Launch, visit: Visit) -> tuple[Step, ...]:
    """The helper's child's, on its way in: the container's cgroup and namespaces."""
    names = (*launch.namespaces, *(("time",) if launch.time_offsets else ()))
    streams = () if visit.tty else (Step("streams", "pipes"),)
    return (*LOOKING, Step("namespaces", "setns", (names,)), *streams)


def probing(launch: Launch) -> tuple[Step, ...]:
    """As visiting, for a command that nobody but the waiter listens to."""
    return (*visiting(launch, Visit(launch.name, ()))[:-1], Step("streams", "own-pipe"))


def entering(launch: Launch, filters: Filters, visit: Visit, account: Account) -> tuple[Step, ...]:
    """Its own child's, inside: all that the service took before its own execve.

    A terminal is opened by whom the command will be: by nothing that a hostile /dev could misuse.
    """
    taken = confinement(launch, filters, account)
    confined = [step.op for step in taken].index("workdir") + 1
    terminal: tuple[Step, ...] = ()
    env = launch.env
    streams: tuple[Step, ...] = (Step("streams", "streams", (account.uid,)),)
    if visit.tty:
        term = (("TERM", visit.term),) if visit.term else ()
        env = (*(pair for pair in launch.env if pair[0] != "TERM"), *term)
        terminal, streams = (Step("terminal", "terminal", (visit.rows, visit.cols)),), ()
    return (
        Step("session", "own-session"),
        *rlimits(launch),
        *streams,
        *taken[:confined],
        *terminal,
        *taken[confined:],
        Step("exec", "exec", (visit.argv, env, account.home)),
    )
