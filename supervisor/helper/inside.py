"""The steps of who enters a container that lives, taken one by one in a forked child of the helper.

As at a launch they are programs, all but those that helper.entry has functions for.
"""

from collections.abc import Callable

from supervisor.errors import KernelError
from supervisor.helper import entry, service
from supervisor.helper.entry import Entrance
from supervisor.helper.operations import spell
from supervisor.helper.steps import Step
from supervisor.helper.world import Site
from supervisor.kernel.program import CallError, run

_ENTRY: dict[str, Callable[..., None]] = {
    "setns": entry.setns, "pipes": entry.pipes, "own-pipe": entry.own_pipe, "own-session": entry.own_session,
    "streams": entry.streams, "terminal": entry.terminal,
}  # fmt: skip


class StepError(Exception):
    """A step failed; args are (stage, errno, path, call)."""


def take(work: Entrance, steps: tuple[Step, ...], site: Site) -> None:
    """Carry out steps in order; raises StepError for the first that fails. After "exec" it does not return."""
    for step in steps:
        try:
            if step.op in _ENTRY:
                _ENTRY[step.op](work, *step.args)
            else:
                _run(work, step, site)
        except KernelError as error:
            raise StepError(step.stage, error.errno, error.path, error.call) from None
        except OSError as error:
            path = str(error.filename or step.stage)
            raise StepError(step.stage, error.errno or 0, path, step.stage) from None


def _run(work: Entrance, step: Step, site: Site) -> None:
    program = spell(step, site)
    try:
        run(program, work.slots)
    except CallError as error:
        if not service.is_end_of_search(program[error.at]):
            raise
        call, number, path = service.why_not_executed(program, work.slots)
        raise KernelError(call, number, path) from None


def failure_of(stage: str, error: BaseException) -> dict[str, object]:
    """What to say of a failure; `stage` unless a step has its own."""
    if isinstance(error, StepError):
        stage, number, path, call = error.args
    elif isinstance(error, KernelError):
        number, path, call = error.errno, error.path, error.call
    elif isinstance(error, OSError):
        number, path, call = error.errno or 0, str(error.filename or ""), ""
    else:
        number, path, call = 0, f"{type(error).__name__}: {error}", ""
    return {"stage": stage, "errno": number, "path": path[-1024:], "call": call}
