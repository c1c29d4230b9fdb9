"""A launch that did not reach exec, as the report of it."""

from supervisor.errors import KernelError
from supervisor.helper.protocol import Report

UNHEARD: dict[str, object] = {"stage": "launch", "errno": 0, "path": "ended before exec", "call": ""}
#: What failed before there was a process → what an operator reads as its stage.
_STAGES = {"clone3": "fork", "user namespace": "user namespace"}


def refusal(name: str, run: int, failure: dict[str, object]) -> Report:
    """A launch's own account of its failure, as a report; its words are bounded, its types checked."""
    number = failure.get("errno")
    return Report(
        "refused", name, run, stage=str(failure.get("stage"))[:64], errno=number if isinstance(number, int) else 0,
        path=str(failure.get("path"))[:1024], hint=str(failure.get("call"))[:64],
    )  # fmt: skip


def failure_of(error: KernelError | OSError) -> dict[str, object]:
    """As a launch's own process reports one: what could not even be prepared."""
    if not isinstance(error, KernelError):
        return {"stage": "fork", "errno": error.errno, "path": str(error.filename or ""), "call": ""}
    stage = _STAGES.get(error.call, "cgroup")
    return {"stage": stage, "errno": error.errno, "path": error.path, "call": error.call}
