"""Programs of system calls: written before a fork, carried out after it.

A forked Python copies every page that it writes, and it writes wherever it counts a reference. So what
a launch does is spelled out beforehand, once for all runs of a container; the child goes through it in
one loop and touches little else.

Laws:
* A program is data: calls in order, no jumps but forward ones, so that it always ends.
* A call that fails ends it with KernelError, unless its error is one that was expected.
* What a call returns may be kept in a slot, for later ones: that is how descriptors are passed.
"""

import errno
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.kernel import libc

_ATTEMPTS = 256


Argument = int | bytes | tuple[int, ...] | None


class Slot(int):
    """As an argument: what is in the slot of this number."""


class Words(tuple[int, ...]):
    """As an argument: a struct of 64-bit words, some of which may be slots."""

    __slots__ = ()


class Call(NamedTuple):
    """One system call, and the `name` by which its failure is told. `filled` are the positions of arguments that are slots, `keep` is the slot of the result
    (-1: none), `expected` the only result that is right (-1: any), `passes` say by which errors how many
    calls after it are passed over; `path` is what it is about.
    """

    name: str
    number: int
    arguments: tuple[Argument, ...]
    filled: tuple[int, ...]
    keep: int
    expected: int
    passes: tuple[tuple[int, int], ...]
    path: str


Program = tuple[Call, ...]


def call(
    name: str,
    *arguments: Argument,
    keep: int = -1,
    expected: int = -1,
    passes: tuple[tuple[int, int], ...] = (),
    path: str = "",
    told: str = "",
) -> Call:
    filled = tuple(at for at, one in enumerate(arguments) if isinstance(one, (Slot, Words)))
    padded = (*arguments, *libc.NOTHING[len(arguments) :])
    return Call(told or name, libc.NUMBERS[name], padded, filled, keep, expected, passes, path)


def run(program: Program, slots: list[int]) -> None:
    """Raises KernelError(call, errno, path) for the first that fails; its errno is EPERM where the kernel
    said yes and did something else.
    """
    calls = iter(program)
    for one in calls:
        _, number, arguments, filled, keep, expected, _, _ = one
        if filled:
            given = list(arguments)
            for position in filled:
                given[position] = _filled(given[position], slots)
            arguments = tuple(given)
        result = libc.invoke(number, *arguments)
        if result < 0:
            result = _again(one, arguments)
        if result < 0:
            for _ in range(_passed_over(one, libc.last_errno())):
                next(calls)
        elif expected >= 0 and result != expected:
            raise KernelError(one.name, errno.EPERM, one.path)
        elif keep >= 0:
            slots[keep] = result


def _filled(argument: Argument, slots: list[int]) -> Argument:
    if isinstance(argument, Words):
        return libc.words(*(slots[one] if isinstance(one, Slot) else one for one in argument))
    return slots[argument]  # type: ignore[index]  # it is a slot


def _again(one: Call, arguments: tuple[Argument, ...]) -> int:
    """openat2(2) answers EAGAIN when something was mounted or renamed while ".." was resolved, since it cannot
    tell whether that led out of the root; it is asked again, but not for ever.
    """
    result = -1
    for _ in range(_ATTEMPTS if one.number == libc.NUMBERS["openat2"] else 0):
        if libc.last_errno() != errno.EAGAIN:
            break
        result = libc.invoke(one.number, *arguments)
        if result >= 0:
            break
    return result


def _passed_over(one: Call, error: int) -> int:
    for expected, count in one.passes:
        if error == expected:
            return count
    raise KernelError(one.name, error, one.path)
