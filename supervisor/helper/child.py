"""The forked side of a launch, as helper.steps ordered.

    helper ─clone3→ PID 1 of the container: builds the root, takes the service's confinement,
                      └ becomes the init shim            ─posix_spawn→ the program

    helper ─clone3→ PID 1 ─fork→ service: builds the root around both ─exec→ the program
                      └ becomes the init shim

The second way is for what is the service's alone: declared limits, a seccomp profile of its own. With
init = false PID 1 takes all steps and executes the program itself.

They report on one SOCK_SEQPACKET socket. b"service" says who is the service: a pidfd comes with it when
it was spawned, and then its exec is done; else the kernel adds the sender's PID as the helper sees it, and
the end of the socket, which is close-on-exec, is the exec. A JSON object {stage, errno, path} says what
failed.

Nothing here returns or raises to the caller: each function ends the process.
"""

import json
import os
import socket
import sys
from contextlib import suppress
from typing import NamedTuple, NoReturn

from supervisor.errors import KernelError
from supervisor.helper import build, init
from supervisor.helper.operations import Task, Tasks
from supervisor.helper.programs import LET_GO
from supervisor.helper.workplace import Workplace
from supervisor.kernel import process
from supervisor.kernel.program import CallError, run

FAILED = 125  # what a process of a failed launch exits with; the report says why


class Kept(NamedTuple):
    """What the child keeps of the helper's descriptors to the end."""

    report: int
    exit_file: int
    shim: int  # -1: PID 1 may not execute it, or there is none


def first(work: Workplace, tasks: Tasks, fds: Kept, report: socket.socket, *, shim: bool) -> NoReturn:
    """The helper's child, PID 1 of the container."""
    try:
        _let_go(work)
        take(work, tasks.first)
        if tasks.spawns:
            _spawn(work, tasks, report, {*fds})
            init.run(work.service, fds.exit_file, fds.shim)
        if shim:
            ours, work.init = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            service = os.fork()
            if service:
                work.init.close()
                _attend(work, tasks, ours, {*fds})
                report.close()
                init.run(service, fds.exit_file, fds.shim)
            ours.close()
    except BaseException as error:
        _fail(report, "fork", error)
    _service(work, tasks, report)


def _spawn(work: Workplace, tasks: Tasks, report: socket.socket, keep: set[int]) -> None:
    """PID 1 builds the root and takes the service's confinement itself, and spawns the service under it;
    then it gives up what is left. It reaps nothing before the helper has heard who the service is.
    """
    process.leave_signals()
    take(work, (*tasks.root, *tasks.service))
    pidfd = os.pidfd_open(work.service)
    with suppress(ConnectionError):  # the helper is dead: the service runs, and the next helper finds it
        socket.send_fds(report, [b"service"], [pidfd])
    init.let_go(keep)
    with suppress(ConnectionError):
        report.recv(1)
    report.close()


def _attend(work: Workplace, tasks: Tasks, service: socket.socket, keep: set[int]) -> None:
    """What PID 1 does while the service builds the root; then it becomes the shim. Ends the process when
    the service is gone: it has said why.
    """
    try:
        if tasks.aside:
            take(work, tasks.aside)
            build.lend_network(work, service)
        if not init.give_up(work, service, tasks.filters, keep):
            os._exit(FAILED)
    except ConnectionError:
        os._exit(FAILED)


def _let_go(work: Workplace) -> None:
    run(LET_GO, work.slots)
    # From here on nothing may be imported: after the root has changed it would be the container's file.
    sys.meta_path.clear()
    sys.path.clear()


def _service(work: Workplace, tasks: Tasks, report: socket.socket) -> NoReturn:
    try:
        process.leave_signals()
        report.send(b"service")
        take(work, tasks.root)
        if work.init:
            init.tell(work.init, work.account)
        take(work, tasks.service)
    except BaseException as error:
        _fail(report, "exec", error)
    os._exit(FAILED)


def take(work: Workplace, tasks: tuple[Task, ...]) -> None:
    """Carry out tasks in order; raises StepError(stage, errno, path, call) for the first that fails."""
    for stage, operation, args, stages in tasks:
        try:
            operation(work, *args)
        except CallError as error:
            raise StepError(
                stages[error.at] if stages else stage, error.errno, error.path, error.call
            ) from None
        except KernelError as error:
            raise StepError(stage, error.errno, error.path, error.call) from None
        except OSError as error:
            raise StepError(stage, error.errno or 0, str(error.filename or stage), stage) from None


class StepError(Exception):
    """A step failed; args are (stage, errno, path, call)."""


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


def _fail(report: socket.socket, stage: str, error: BaseException) -> NoReturn:
    try:
        report.send(json.dumps(failure_of(stage, error)).encode())
    finally:
        os._exit(FAILED)
