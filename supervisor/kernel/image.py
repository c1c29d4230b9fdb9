"""A program as the zygote's children read it: a file of 64-bit words, made for one address.

It is put together from segments, so that what many containers have in common is packed once for all of them:

    count of calls, 0 │ calls, CALL words each │ what their pointers lead to

The slots are elsewhere, in memory that is empty at first.
"""

import errno
from array import array
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.kernel.program import Argument, At, Call, Program, Slot, Words

#: Where the file and the slots are mapped; kernel.zygote's sources say so again, as they do of the words of a call.
BASE, SLOTS = 0x10000000, 0x20000000
#: Bytes that the file may have.
LARGEST = 16 << 20
#: A call: number, six arguments, which of them (and of `expected`, the seventh) are slots, slot of the result,
#: expected result, and twice an error and how many calls are passed over by it.
CALL = 14
_HEAD = 2
_EXPECTED = 1 << 6
_PASSES = 2
_NONE = (-1, 0) * _PASSES
_SIGN = 1 << 63


class Segment(NamedTuple):
    """Part of a program: the words of its `calls`, and the `text` that they point to, both with the places of the words
    that are pointers, which count from the beginning of the text.
    """

    calls: "array[int]"
    pointers: "array[int]"
    text: "array[int]"
    inner: "array[int]"


class _Text:
    """What is pointed to, each once; bytes are followed by a 0."""

    def __init__(self) -> None:
        self.words, self.pointers = array("q"), array("q")
        self._places = dict[Argument, int]()

    def place(self, argument: bytes | Words) -> int:
        """Where it is, in bytes from the beginning."""
        if argument not in self._places:
            if isinstance(argument, bytes):
                self._places[argument] = 8 * len(self.words)
                self.words.frombytes(argument + bytes(8 - len(argument) % 8))
            else:
                self._place_struct(argument)
        return self._places[argument]

    def _place_struct(self, struct: Words) -> None:
        filled = [self.place(one) if isinstance(one, bytes) else number(one) for one in struct]
        first = len(self.words)
        self._places[struct] = 8 * first
        self.words.extend(filled)
        self.pointers.extend(first + at for at, one in enumerate(struct) if isinstance(one, bytes))


def pack(program: Program) -> Segment:
    """A thousand containers that begin have this done for what is their own, so each argument is looked at once."""
    text, calls, pointers = _Text(), array("q"), array("q")
    for one in program:
        calls.append(one.number)
        slots = _EXPECTED if isinstance(one.expected, Slot) else 0
        for at, argument in enumerate(one.arguments):
            if argument is None:
                calls.append(0)
            elif isinstance(argument, int):
                calls.append(number(argument))
                slots |= isinstance(argument, Slot) << at
            else:
                assert isinstance(argument, (bytes, Words))
                pointers.append(len(calls))
                calls.append(text.place(argument))
        calls.extend((slots, one.keep, one.expected, *_passes(one)))
    return Segment(calls, pointers, text.words, text.pointers)


def _passes(one: Call) -> tuple[int, ...]:
    if not one.passes:
        return _NONE
    assert len(one.passes) <= _PASSES, one.name
    return (*(word for each in one.passes for word in each), *_NONE[2 * len(one.passes) :])


def number(argument: int) -> int:
    """As a signed word; that of a slot stays its number."""
    value = SLOTS + argument if isinstance(argument, At) else argument
    return value if value < _SIGN else value - (_SIGN << 1)


def assemble(segments: tuple[Segment, ...]) -> bytes:
    """The file of them all, one after the other. Raises KernelError(E2BIG) where it would be too large."""
    calls, text = array("q"), array("q")
    base = BASE + 8 * (_HEAD + sum(len(one.calls) for one in segments))
    for one in segments:
        start = base + 8 * len(text)
        calls.extend(_moved(one.calls, one.pointers, start))
        text.extend(_moved(one.text, one.inner, start))
    image = array("q", [len(calls) // CALL, 0]).tobytes() + calls.tobytes() + text.tobytes()
    if len(image) > LARGEST:
        raise KernelError("launch", errno.E2BIG, f"{len(image)} bytes of arguments and environment")
    return image


def _moved(words: "array[int]", pointers: "array[int]", by: int) -> "array[int]":
    moved = array("q", words)
    for at in pointers:
        moved[at] += by
    return moved
