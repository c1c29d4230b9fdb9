"""A launch that was refused: what failed, as a launch's own process or the helper tells it, and as it is reported."""

from supervisor.errors import KernelError
from supervisor.helper.protocol import Report

#: {stage, errno, path, call}
Failure = dict[str, object]

#: Its process ended without a word.
UNHEARD: Failure = {"stage": "launch", "errno": 0, "path": "ended before exec", "call": ""}
#: What failed before there was a process → what an operator reads as its stage; else "cgroup".
_STAGES = {one: one for one in ("user namespace", "output", "notify", "device", "launch")} | {
    "clone3": "fork",
    "sigprocmask": "fork",
    "execve": "exec",
    "user": "user",
    "group": "user",
    "setresuid": "user",
}


def refusal(name: str, run: int, failure: Failure) -> Report:
    """A launch's own account of its failure, as a report; its words are bounded, its types checked."""
    number = failure.get("errno")
    return Report(
        "refused", name, run, stage=str(failure.get("stage"))[:64], errno=number if isinstance(number, int) else 0,
        path=str(failure.get("path"))[:1024], hint=str(failure.get("call"))[:64],
    )  # fmt: skip


def failure_of(error: KernelError | OSError, stage: str = "fork") -> Failure:
    """Of the helper's own part; `stage` where the error itself does not tell."""
    if not isinstance(error, KernelError):
        return {"stage": stage, "errno": error.errno, "path": str(error.filename or ""), "call": ""}
    stage = _STAGES.get(error.call, "cgroup")
    return {"stage": stage, "errno": error.errno, "path": error.path, "call": error.call}
