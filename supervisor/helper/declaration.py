"""What root declared of one container, worked out: how it is launched, where its limits go."""

from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.helper.launching import Plan
from supervisor.helper.protocol import Launch, Report
from supervisor.kernel import cgroup


class Declaration(NamedTuple):
    """`unplaced` is a limit no hierarchy here can hold."""

    launch: Launch
    plan: Plan
    leaf: cgroup.Leaf
    limits: cgroup.Limits = ()
    unplaced: KernelError | None = None

    def same_launch(self, other: "Declaration") -> bool:
        """Whether a run of it would be the same but for its limits and how it is looked at."""
        mine, theirs = (
            one.launch._replace(cgroup=(), filter=-1, ready=None, health=None, notify="", watchdog=0)
            for one in (self, other)
        )
        return mine == theirs and self.plan.filters == other.plan.filters

    def put_all_in_force(self, run: int) -> Report:
        """As put_in_force, on a run that was declared we do not know how: what is left out now may have been limited then."""
        try:
            limits = cgroup.succeed(cgroup.settable(self.leaf), self.limits)
        except OSError as error:
            path = str(error.filename)
            return Report("limits", self.launch.name, run, errno=error.errno or 0, path=path)
        return self._replace(limits=limits).put_in_force(run)

    def put_in_force(self, run: int) -> Report:
        """Its limits, on a run that lives; the report says so, or why one of them is not."""
        report = Report("limits", self.launch.name, run)
        try:
            if self.unplaced:
                raise self.unplaced
            cgroup.put_in_force(self.leaf, self.limits)
        except KernelError as error:
            return report._replace(errno=error.errno, path=error.path, hint=error.call)
        except OSError as error:
            return report._replace(errno=error.errno or 0, path=str(error.filename))
        return report
