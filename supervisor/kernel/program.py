"""Programs of system calls: written before a fork, carried out after it.

A forked Python copies every page that it writes, and it writes wherever it counts a reference. So what
a launch does is spelled out beforehand, once for all runs of a container, and packed as words for the machine
(kernel.machine), which goes through it and touches little else. Where a call is not as expected, Python decides.

Laws:
* A program is data: calls in order, no jumps but forward ones, so that it always ends.
* A call that fails ends it with KernelError, unless its error is one that was expected.
* What a call returns may be kept in a slot, for later ones: that is how descriptors are passed.
"""

import errno
from array import array
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.kernel import libc, machine

_ATTEMPTS = 256
_GO = machine.load()


Argument = int | bytes | tuple[int | bytes, ...] | None


class Slot(int):
    """As an argument: what is in the slot of this number; as `keep`: where the result goes."""


#: What the last call returned, or -errno; of those that nobody asked to keep, too.
RESULT = Slot(0)


class Words(tuple[int | bytes, ...]):
    """As an argument: a struct of 64-bit words. Some may be slots; bytes are pointed to."""

    __slots__ = ()


class Call(NamedTuple):
    """One system call, and the `name` by which its failure is told. `keep` is the slot of the result, `expected` the
    only one that is right (-1: any), `passes` say by which errors how many calls after it are passed
    over; `path` is what it is about.
    """

    name: str
    number: int
    arguments: tuple[Argument, ...]
    keep: int
    expected: int
    passes: tuple[tuple[int, int], ...]
    path: str


Program = tuple[Call, ...]


class Packed(NamedTuple):
    """A program as the machine reads it: `words` are its calls, `text` is what their pointers lead to."""

    calls: Program
    words: "array[int]"
    text: "array[int]"


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
    passes: tuple[tuple[int, int], ...] = (),
    path: str = "",
    told: str = "",
) -> Call:
    padded = (*arguments, *libc.NOTHING[len(arguments) :])
    return Call(told or name, libc.NUMBERS[name], padded, keep, expected, passes, path)


def slots(count: int) -> "array[int]":
    """RESULT and `count` more, with nothing in them."""
    return array("q", [-1] * (1 + count))


def pack(program: Program) -> Packed:
    text, places = array("B"), dict[Argument, int]()
    for argument in (argument for one in program for argument in one.arguments):
        _place(argument, text, places)
    base = text.buffer_info()[0]
    for argument, at in places.items():
        if isinstance(argument, Words):
            filled = (base + places[one] if isinstance(one, bytes) else one for one in argument)
            text[at : at + 8 * len(argument)] = array("B", libc.words(*filled))
    words = array("q")
    for one in program:
        words.extend(_words(one, {argument: base + at for argument, at in places.items()}))
    return Packed(program, words, text)


def _place(argument: Argument, text: "array[int]", places: dict[Argument, int]) -> None:
    """Where what is pointed to will be, and what it points to before it; 8 bytes apart, and followed by a 0."""
    if argument in places or not isinstance(argument, (bytes, Words)):
        return
    content = argument if isinstance(argument, bytes) else bytes(8 * len(argument))
    for one in argument if isinstance(argument, Words) else ():
        _place(one if isinstance(one, bytes) else None, text, places)
    places[argument] = len(text)
    text.frombytes(content + bytes(8 - len(content) % 8))


def _words(one: Call, pointers: dict[Argument, int]) -> list[int]:
    filled = sum(1 << at for at, argument in enumerate(one.arguments) if isinstance(argument, Slot))
    number = -1 if _is_ours(one) else one.number
    arguments = (
        pointers.get(one, 0) if isinstance(one, (bytes, tuple)) else one or 0 for one in one.arguments
    )
    passes = one.passes[0] if one.passes else (0, 0)
    return [number, *map(_signed, arguments), filled, one.keep, one.expected, *passes]


def _signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 == 1 else value


def _is_ours(one: Call) -> bool:
    """Python makes the call: there is a struct to be filled first."""
    structs = (argument for argument in one.arguments if isinstance(argument, Words))
    return any(isinstance(word, Slot) for struct in structs for word in struct)


def run(program: Packed, slots: "array[int]") -> None:
    """Raises CallError for the first that fails; its errno is EPERM where the kernel said yes and did something else."""
    at, count = 0, len(program.calls)
    while (at := _go(program, at, slots)) < count:
        at += 1 + _judge(program.calls[at], slots, at)


def _go(program: Packed, at: int, slots: "array[int]") -> int:
    """The position of the first call from `at` on that is not as expected, or is left to Python."""
    if _GO:
        return _GO(program.words.buffer_info()[0], at, len(program.calls), slots.buffer_info()[0])
    return interpret(program, at, slots)


def interpret(program: Packed, at: int, slots: "array[int]") -> int:
    """As the machine does it, for machines that we have no code for."""
    for one in program.calls[at:]:
        if _is_ours(one):
            break
        result = _invoke(one, slots)
        if result < 0 or (one.expected >= 0 and result != one.expected):
            slots[RESULT] = result
            break
        slots[one.keep] = result
        at += 1
    return at


def _invoke(one: Call, slots: "array[int]") -> int:
    """What it returns, or -errno."""
    result: int = libc.invoke(one.number, *(_filled(argument, slots) for argument in one.arguments))
    return result if result >= 0 else -libc.last_errno()


def _filled(argument: Argument, slots: "array[int]") -> Argument:
    if isinstance(argument, Words):
        return libc.words(*(_word(one, slots) for one in argument))
    return slots[argument] if isinstance(argument, Slot) else argument


def _word(word: int | bytes, slots: "array[int]") -> int:
    if isinstance(word, bytes):
        return libc.address(word)
    return slots[word] if isinstance(word, Slot) else word


def _judge(one: Call, slots: "array[int]", at: int) -> int:
    """Of a call whose result is not as expected, or that is to be made: how many after it are passed over."""
    result = _invoke(one, slots) if _is_ours(one) else slots[RESULT]
    if result == -errno.EAGAIN:
        result = _again(one, slots)
    if result < 0:
        for expected, count in one.passes:
            if result == -expected:
                return count
        raise CallError(one, -result, at)
    if one.expected >= 0 and result != one.expected:
        raise CallError(one, errno.EPERM, at)
    slots[one.keep] = result
    return 0


def _again(one: Call, slots: "array[int]") -> int:
    """openat2(2) answers EAGAIN when something was mounted or renamed while ".." was resolved, since it cannot
    tell whether that led out of the root; it is asked again, but not for ever.
    """
    result = -errno.EAGAIN
    for _ in range(_ATTEMPTS if one.number == libc.NUMBERS["openat2"] else 0):
        result = _invoke(one, slots)
        if result != -errno.EAGAIN:
            break
    return result
