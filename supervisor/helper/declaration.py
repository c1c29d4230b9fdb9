"""What root declared of one container, worked out: how it is launched, where its limits go."""

from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.helper.protocol import Launch
from supervisor.helper.steps import Steps
from supervisor.kernel import cgroup


class Declaration(NamedTuple):
    """`unplaced` is a limit no hierarchy here can hold."""

    launch: Launch
    steps: Steps
    leaf: cgroup.Leaf
    limits: cgroup.Limits = ()
    unplaced: KernelError | None = None

    def same_launch(self, other: "Declaration") -> bool:
        """Whether a run of it would be the same but for its limits."""
        mine, theirs = (one.launch._replace(cgroup=(), filter=-1) for one in (self, other))
        return mine == theirs and self.steps == other.steps
