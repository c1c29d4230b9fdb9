"""From seccomp profiles to the classic BPF that the kernel loads: pure, and done once, before anything is launched.

Of our own rather than libseccomp's, so that it needs no shared library, that what a profile means is decided
here (core.seccomp has the law), and that the result is bytes which a test can execute. Sources: seccomp(2),
include/uapi/linux/{seccomp,filter,audit}.h, Documentation/userspace-api/seccomp_filter.rst.

Laws: a call made by another ABI than the machine's own (int 0x80, x32, AArch32) kills the process, whatever
the profile says; numbers of our own ABI are found by binary search; arguments are compared as 64 bits.
"""

import os
import re
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from supervisor.core.seccomp import ACTIONS, Action, Comparison, Profile, Rule, applies
from supervisor.core.spec import Configuration
from supervisor.core.syscalls import NUMBERS
from supervisor.errors import ConfigError, Problem
from supervisor.launcher.lower import capabilities
from supervisor.launcher.seccomp_default import DEFAULT

#: SECCOMP_RET_*; an errno or a message to a tracer goes into the low 16 bits.
_RETURNS: Mapping[Action, int] = {
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
}
_KILL = _RETURNS["SCMP_ACT_KILL_PROCESS"]


class _Machine(NamedTuple):
    """AUDIT_ARCH_*, and the word for it in includes and excludes."""

    audit: int
    arch: str


_MACHINES = {"x86_64": _Machine(0xC000003E, "amd64"), "aarch64": _Machine(0xC00000B7, "arm64")}
#: x32 calls carry this bit in their number. Above them are the negative numbers, which are no calls.
_X32, _NEGATIVE = 0x40000000, 0x80000000

#: Offsets in struct seccomp_data.
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_LONGEST = 4096  # BPF_MAXINSNS
_LD, _AND, _RET, _JA, _JEQ, _JGT, _JGE = 0x20, 0x54, 0x06, 0x05, 0x15, 0x25, 0x35
_FARTHEST = 255  # what a conditional jump can skip


class _Step(NamedTuple):
    """One struct sock_filter; inside a comparison `yes` and `no` may still be the words PASS and FAIL."""

    code: int
    value: int
    yes: int = 0
    no: int = 0


_PASS, _FAIL = -1, -2
#: What becomes of one call: comparisons and what to return when all hold; the last has none.
_Answer = tuple[tuple[tuple[Comparison, ...], int], ...]


def compile_filters(
    configuration: Configuration, machine: str | None = None, release: str | None = None
) -> Mapping[str, tuple[bytes, ...]]:
    """The programs of each container by its name, to be loaded in this order; () for "unconfined".

    Containers with the same filter share the same value. `machine` and `release` are as uname(2) has them, by
    default this machine's. Raises ConfigError for a machine without a table, and for a profile too long for BPF.
    """
    uname = os.uname()
    machine, kernel = machine or uname.machine, _version(release or uname.release)
    profiles = {"default": DEFAULT, **dict(configuration.seccomp)}
    compiled: dict[tuple[str, frozenset[str]], tuple[bytes, ...]] = {}
    found: dict[str, tuple[bytes, ...]] = {}
    for container in configuration.containers:
        word = container.seccomp
        if word == "unconfined":
            found[container.name] = ()
            continue
        held = frozenset(capabilities(container)) & _mentioned(profiles[word])
        if (word, held) not in compiled:
            compiled[word, held] = _compile_or_blame(word, profiles[word], held, machine, kernel)
        found[container.name] = compiled[word, held]
    return found


def _version(release: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _mentioned(profile: Profile) -> frozenset[str]:
    """The capabilities that make a difference."""
    return frozenset(
        name for rule in profile.rules for name in (*rule.includes.capabilities, *rule.excludes.capabilities)
    )


def _compile_or_blame(
    word: str, profile: Profile, held: frozenset[str], machine: str, kernel: tuple[int, int]
) -> tuple[bytes, ...]:
    if machine not in _MACHINES:
        text = f'no seccomp filter can be made for {machine} (write seccomp = "unconfined")'
        raise ConfigError((Problem(word, 0, "seccomp", text),))
    program = compile_profile(profile, held, machine, kernel)
    if len(program) > _LONGEST * _SIZE:
        length = len(program) // _SIZE
        text = f"makes {length} BPF instructions, the kernel takes {_LONGEST} (compare fewer arguments)"
        raise ConfigError((Problem(word, 0, "syscalls", text),))
    return (program,)


_SIZE = 8


def compile_profile(
    profile: Profile, held: frozenset[str], machine: str = "x86_64", kernel: tuple[int, int] = (6, 1)
) -> bytes:
    """An array of struct sock_filter; `held` are the container's capabilities."""
    at = _MACHINES[machine]
    rules = [rule for rule in profile.rules if applies(rule, held, at.arch, kernel)]
    ranges = list(_ranges(profile, rules, NUMBERS[machine], x32=machine == "x86_64"))
    steps = [
        _Step(_LD, _ARCH),
        _Step(_JEQ, at.audit, 1, 0),
        _Step(_RET, _KILL),
        _Step(_LD, _NUMBER),
        *_search(ranges),
    ]
    return b"".join(struct.pack("<HBBI", step.code, step.yes, step.no, step.value) for step in steps)


def _ranges(
    profile: Profile, rules: list[Rule], numbers: Mapping[str, int], *, x32: bool
) -> Iterator[tuple[int, _Answer]]:
    """What becomes of each number, as the first of every range that ends alike; begins with 0."""
    default: _Answer = (((), _value(profile.default_action, profile.errno)),)
    by_number: dict[int, list[Rule]] = {}
    for rule in rules:
        for name in rule.names:
            if name in numbers:
                by_number.setdefault(numbers[name], []).append(rule)
    answers = {number: _answer(found, default) for number, found in by_number.items()}
    before: _Answer = ()
    for number in range(max(answers, default=-1) + 2):  # one more: the default goes on from there
        answer = answers.get(number, default)
        if answer != before:
            yield number, answer
            before = answer
    if x32:
        yield _X32, (((), _KILL),)
        yield _NEGATIVE, default


def _answer(rules: list[Rule], default: _Answer) -> _Answer:
    """The most restrictive first, up to one that always matches."""
    found: list[tuple[tuple[Comparison, ...], int]] = []
    for rule in sorted(rules, key=lambda rule: ACTIONS.index(rule.action)):
        found.append((rule.args, _value(rule.action, rule.errno)))
        if not rule.args:
            return tuple(found)
    return (*found, *default)


def _value(action: Action, number: int) -> int:
    return _RETURNS[action] | (number if action in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE") else 0)


def _search(ranges: list[tuple[int, _Answer]]) -> list[_Step]:
    """Binary search for the number in the accumulator; every path ends in a return."""
    if len(ranges) == 1:
        return _answer_steps(ranges[0][1])
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    first = ranges[middle][0]
    if len(below) <= _FARTHEST:
        return [_Step(_JGE, first, len(below), 0), *below, *above]
    return [_Step(_JGE, first, 0, 1), _Step(_JA, len(below)), *below, *above]


def _answer_steps(answer: _Answer) -> list[_Step]:
    steps: list[_Step] = []
    for comparisons, value in answer:
        parts = [_comparison_steps(each) for each in comparisons]
        rest = sum(map(len, parts)) + 1  # steps from here to the end of this rule, its return included
        for part in parts:
            for place, step in enumerate(part):
                ends = {_PASS: len(part) - place - 1, _FAIL: rest - place - 1}
                steps.append(step._replace(yes=ends.get(step.yes, step.yes), no=ends.get(step.no, step.no)))
            rest -= len(part)
        steps.append(_Step(_RET, value))
    return steps


def _comparison_steps(given: Comparison) -> list[_Step]:
    """Both halves of a 64-bit argument, on a little-endian machine; ends at PASS or FAIL."""
    low = _Step(_LD, _ARGUMENTS + 8 * given.index)
    high = _Step(_LD, _ARGUMENTS + 8 * given.index + 4)
    if given.op in ("SCMP_CMP_MASKED_EQ", "MASKED_NE"):
        return _masked(low, high, given.value, given.value_two, negate=given.op == "MASKED_NE")
    if given.op in ("SCMP_CMP_EQ", "SCMP_CMP_NE"):
        return _masked(low, high, (1 << 64) - 1, given.value, negate=given.op == "SCMP_CMP_NE")
    # Less is not greater-or-equal, less-or-equal is not greater: the same steps with the ends exchanged.
    negate = given.op in ("SCMP_CMP_LT", "SCMP_CMP_LE")
    equal_counts = given.op in ("SCMP_CMP_GE", "SCMP_CMP_LT")
    yes, no = (_FAIL, _PASS) if negate else (_PASS, _FAIL)
    value_high, value_low = divmod(given.value, 1 << 32)
    return [
        high,
        _Step(_JGT, value_high, yes, 0),
        _Step(_JEQ, value_high, 0, no),
        low,
        _Step(_JGE if equal_counts else _JGT, value_low, yes, no),
    ]


def _masked(low: _Step, high: _Step, mask: int, wanted: int, *, negate: bool) -> list[_Step]:
    same, other = (_FAIL, _PASS) if negate else (_PASS, _FAIL)
    halves = [
        (load, mask >> shift & 0xFFFFFFFF, wanted >> shift & 0xFFFFFFFF)
        for load, shift in ((high, 32), (low, 0))
        # A half of which nothing is asked is not looked at; one of the two must be.
        if mask >> shift & 0xFFFFFFFF or wanted >> shift & 0xFFFFFFFF or shift == 0
    ]
    steps: list[_Step] = []
    for place, (load, bits, value) in enumerate(halves):
        steps.append(load)
        if bits != 0xFFFFFFFF:
            steps.append(_Step(_AND, bits))
        steps.append(_Step(_JEQ, value, same if place == len(halves) - 1 else 0, other))
    return steps
