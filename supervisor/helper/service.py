"""The steps at whose end the program runs, and PID 1 of its container waits for it. As programs."""

import errno
import os
import signal
from collections.abc import Iterable, Mapping, Sequence

from supervisor.errors import KernelError
from supervisor.helper.slots import ATTEMPTS, CHILD, OTHER
from supervisor.helper.world import Site
from supervisor.kernel import calls, libc, zygote
from supervisor.kernel.program import ANY, At, Call, Program, Words, call, jump

SERVICE = b"service"  # what it says of itself; the kernel adds its PID
HEARD = b"!"  # the helper's answer, to PID 1
_NOSIGNAL = 0x4000
_SET_MASK = 2
_LAST = (1 << 32) - 1
_CLOSE_ON_EXEC = 4  # CLOSE_RANGE_CLOEXEC, close_range(2)
_CWD = -100  # AT_FDCWD
_EXECVE = "execve"


def fork(calls_of_child: int) -> Program:
    """The service begins with the call after these, PID 1 goes on after those of it."""
    return (
        call("clone", signal.SIGCHLD, keep=CHILD, path="fork"),
        jump(calls_of_child, unless=CHILD),
    )


def introduce(_: Site) -> Program:
    """To the helper: the kernel says who speaks. One that is dead need not hear it: the next one finds the service."""
    dead = ((errno.EPIPE, 0), (errno.ECONNRESET, 0))
    return (
        call("sendto", zygote.REPORT, SERVICE, len(SERVICE), _NOSIGNAL, None, 0, passes=dead, told="send"),
    )


def lead(_: Site) -> Program:
    """A session of its own; PID 1 has done the rest of `session`."""
    return (call("setsid"),)


# ── between PID 1 and a service that is confined by itself ─────────────────────────────


def word(_: Site) -> Program:
    """By which PID 1 will give it: an eventfd(2), in the place of the program's file, which has been read."""
    return (
        call("eventfd2", 0, os.O_CLOEXEC, keep=OTHER),
        call("dup3", OTHER, zygote.IMAGE, os.O_CLOEXEC),
        *calls.close(OTHER),
    )


def give_word(_: Site) -> Program:
    return (call("write", zygote.IMAGE, libc.words(1), 8, expected=8, path="init"),)


def await_word(_: Site) -> Program:
    """No program runs beside a PID 1 that is still root. If that could not give up what it has, it ends, and all with it."""
    return (call("read", zygote.IMAGE, At(8 * OTHER), 8, expected=8, path="init"),)


def let_go(_: Site) -> Program:
    """The service alone holds its output, and nobody a user namespace."""
    return (
        call("dup3", 0, 1, 0),
        call("dup3", 0, 2, 0),
        call("close_range", zygote.USERNS, _LAST),
    )


def part(_: Site) -> Program:
    """Nothing is reaped before the helper has heard who the service is, since its PID would be nobody's then. A helper that
    is dead need not hear it: the next one finds the service.

    The last word of a launch is the end of its report socket, and PID 1 keeps it no longer.
    """
    return (
        call("recvfrom", zygote.REPORT, At(8 * OTHER), 1, 0, None, None, passes=((ANY, 0),), told="recv"),
        call("close", zygote.IMAGE),
        call("close", zygote.REPORT),
    )


# ── the program ────────────────────────────────────────────────────────────────────────


def execute(_: Site, argv: tuple[str, ...], env: tuple[tuple[str, str], ...], home: str) -> Program:
    """execve(2) argv[0], searched in PATH if it has no slash. No signal has been let through until here."""
    variables = dict(env)
    variables.setdefault("HOME", home)
    arguments = _strings(argv)
    environment = _strings(f"{name}={value}" for name, value in variables.items())
    paths = _candidates(argv[0], variables)
    if len(paths) > len(ATTEMPTS):
        raise KernelError(_EXECVE, errno.E2BIG, f"PATH has more than {len(ATTEMPTS)} folders")
    per_path = 3
    program: Program = (
        call("close_range", zygote.EXIT, _LAST, _CLOSE_ON_EXEC),
        call("sigprocmask", _SET_MASK, libc.words(0), None, 8),
    )
    for at, path in enumerate(paths):
        result, found = ATTEMPTS[at], ATTEMPTS[at] + 1
        name = os.fsencode(path)
        program += (
            call(
                _EXECVE,
                name,
                arguments,
                environment,
                keep=result,
                path=path,
                passes=((errno.ENOENT, 0), (ANY, 2)),
            ),
            call("faccessat", _CWD, name, 0, keep=found, passes=((ANY, 1),)),
            jump(per_path * (len(paths) - 1 - at)),  # its interpreter is what is missing
        )
    return (*program, call("close", -1, path=argv[0], told=_EXECVE))


def _strings(texts: Iterable[str]) -> Words:
    return Words((*map(os.fsencode, texts), 0))


def _candidates(name: str, variables: Mapping[str, str]) -> list[str]:
    if "/" in name:
        return [name]
    return [f"{folder}/{name}" if folder else name for folder in variables["PATH"].split(":")]


def is_end_of_search(one: Call) -> bool:
    return one.name == _EXECVE and one.arguments[0] == -1


def why_not_executed(program: Program, told: Sequence[int]) -> tuple[str, int, str]:
    """(call, errno, path) of a search that has come to its end, from the slots it left."""
    error = errno.ENOENT
    for one in program:
        if one.name == _EXECVE and not is_end_of_search(one):
            result, found = told[one.keep], told[one.keep + 1]
            if result == -errno.ENOENT and found == 0:
                return "execve-interpreter", errno.ENOENT, one.path
            if result not in (0, -errno.ENOENT, -errno.ENOTDIR):
                error = -result
    return _EXECVE, error, next(one.path for one in program if is_end_of_search(one))
