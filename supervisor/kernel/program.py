"""Programs of system calls: a launch, spelled out as data before it happens.

A container's first process carries its program out by a loop of machine instructions (kernel.zygote), since
whatever runs in Python after a fork costs copies of the pages that it touches, which is more than most of the calls.
Who enters a container that lives has Python at hand: `run` does the same.

Laws:
* A program is data: calls in order, no jumps but forward ones, so that it always ends.
* A call that fails ends it, unless its error is one that was expected.
* What a call returns may be kept in a slot, for later ones: that is how descriptors are passed.
"""

import errno
from array import array
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.kernel import libc

#: How often what answers EAGAIN is asked again. openat2(2) does so when something was mounted or renamed while ".." was
#: resolved, since it cannot tell whether that led out of the root.
ATTEMPTS = 256
#: In `passes`: whatever the error is.
ANY = 0
#: What is no system call: two pieces of memory are the same (else EPERM); calls are passed over if a word is not 0; the
#: program is read again, from another place of its file.
COMPARE, JUMP, AGAIN = -2, -3, -4
_OWN = {"compare": COMPARE, "jump": JUMP, "again": AGAIN}

Argument = int | bytes | tuple[int | bytes, ...] | None
Passes = tuple[tuple[int, int], ...]


class Slot(int):
    """As an argument: what is in the slot of this number; as `keep`: where the result goes."""


class At(int):
    """As an argument, also within a struct: the address so many bytes behind the first slot."""


class Words(tuple[int | bytes, ...]):
    """As an argument: a struct of 64-bit words. Bytes are pointed to."""

    __slots__ = ()


#: What the last call returned, or -errno; of those that nobody asked to keep, too.
RESULT = Slot(0)


class Call(NamedTuple):
    """One system call, and the `name` by which its failure is told. `keep` is the slot of the result, `expected` the
    only one that is right (-1: any; it may be a slot), `passes` say by which errors how many calls after it are passed
    over, two of them at most; `path` is what it is about.
    """

    name: str
    number: int
    arguments: tuple[Argument, ...]
    keep: int
    expected: int
    passes: Passes
    path: str


Program = tuple[Call, ...]


class CallError(KernelError):
    """A call failed, the one at position `at`."""

    def __init__(self, call: Call, errno: int, at: int) -> None:
        super().__init__(call.name, errno, call.path)
        self.at = at


def call(
    name: str,
    *arguments: Argument,
    keep: int = RESULT,
    expected: int = -1,
    passes: Passes = (),
    path: str = "",
    told: str = "",
) -> Call:
    number = _OWN[name] if name in _OWN else libc.NUMBERS[name]
    padded = (*arguments, *libc.NOTHING[len(arguments) :])
    return Call(told or name, number, padded, keep, expected, passes, path)


def compare(
    one: Argument, other: Argument, size: int, *, passes: Passes = (), path: str = "", told: str = ""
) -> Call:
    """Ends the program with EPERM, or passes by that, unless `size` bytes are the same."""
    return call("compare", one, other, size, passes=passes, path=path, told=told)


def jump(count: int, unless: int = 1) -> Call:
    """Over `count` calls, unless `unless` is 0."""
    return call("jump", unless, count)


def move(source: Slot, target: Slot) -> Call:
    return call("jump", source, 0, keep=target)


def slots(count: int) -> "array[int]":
    """RESULT and `count` more, with nothing in them."""
    return array("q", [0] * (1 + count))


def run(program: Program, slots: "array[int]") -> None:
    """Raises CallError for the first that fails; its errno is EPERM where the kernel said yes and did something else."""
    at = 0
    while at < len(program):
        one = program[at]
        if one.number == JUMP:
            taken, count = (_value(argument, slots) for argument in one.arguments[:2])
            slots[one.keep] = taken
            at += 1 + (count if taken else 0)
            continue
        result = _carry_out(one, slots)
        skipped = 0
        if result < 0:
            skipped = passed(one, -result)
            if skipped < 0:
                raise CallError(one, -result, at)
        slots[one.keep] = result
        at += 1 + skipped


def passed(one: Call, number: int) -> int:
    """How many calls are passed over when it fails with errno `number`; -1: that is the program's end."""
    for expected, count in one.passes:
        if expected in (ANY, number):
            return count
    return -1


def _carry_out(one: Call, slots: "array[int]") -> int:
    """Its result, -errno included; -EPERM for another than the expected one."""
    arguments = [_pointed(argument, slots) for argument in one.arguments]
    if one.number == COMPARE:
        first, second, size = arguments[:3]
        assert isinstance(size, int)
        return 0 if libc.memory(first or 0, size) == libc.memory(second or 0, size) else -errno.EPERM
    result = -errno.EAGAIN
    for _ in range(ATTEMPTS):
        result = libc.invoke(one.number, *arguments)
        result = result if result >= 0 else -libc.last_errno()
        if result != -errno.EAGAIN:
            break
    expected = slots[one.expected] if isinstance(one.expected, Slot) else one.expected
    return result if result < 0 or expected in (-1, result) else -errno.EPERM


def _pointed(argument: Argument, slots: "array[int]") -> int | bytes | None:
    if isinstance(argument, Words):
        return libc.words(
            *(libc.address(one) if isinstance(one, bytes) else _value(one, slots) for one in argument)
        )
    return argument if isinstance(argument, bytes) or argument is None else _value(argument, slots)


def _value(word: Argument, slots: "array[int]") -> int:
    assert isinstance(word, int)
    if isinstance(word, At):
        return slots.buffer_info()[0] + word
    return slots[word] if isinstance(word, Slot) else word
