"""The key `seccomp`: a word, or the path of a profile as OCI runtimes, Docker and podman read it (JSON).

A profile is read here, at `load`, and never again. It may say nothing that would be quietly left
undone: an unknown key, action, operator or capability is a problem. A name that is no system call known
here is a note where it would have been allowed (profiles name calls newer than our table), and a problem
where it would have been refused: the container would be let do what its profile forbids.
"""

import errno
import os.path
import re
from typing import Any, NamedTuple

from supervisor.config.files import UnreadableError, read_text
from supervisor.config.identity import CAPABILITY_LIST
from supervisor.config.jsonfile import read_json
from supervisor.config.mounts import host_path
from supervisor.config.place import Place
from supervisor.config.shapes import BROKEN, Key, Keys, Shape, Table, leaf, list_of, pick, read, table, words
from supervisor.config.values import WrongError, nearest, path, show, text, whole
from supervisor.core.seccomp import ACTIONS, PERMISSIVE, Action, Circumstances, Comparison, Profile, Rule
from supervisor.core.syscalls import KNOWN
from supervisor.errors import Problem


class Choice(NamedTuple):
    """What a container said: "default", "unconfined", or the absolute path of a profile and what it says."""

    word: str
    profile: Profile | None = None
    notes: tuple[str, ...] = ()


BY_DEFAULT = Choice("default")

_LARGEST = (1 << 64) - 1
_ERRNO_MAX = 4095  # the kernel takes no larger one (MAX_ERRNO)
_NOTES_MAX = 20
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_KERNEL = re.compile(r"([0-9]{1,4})\.([0-9]{1,4})")
_ARCHES = tuple(
    "amd64 386 x86 x32 arm arm64 mips mips64 mips64n32 mipsel mipsel64 mipsel64n32 mipsle mips64le ppc ppc64 "
    "ppc64le s390 s390x riscv64 loong64 loongarch64 parisc parisc64 m68k sh sheb".split()
)
_SCMP_ARCHES = tuple(
    f"SCMP_ARCH_{name}"
    for name in "X86 X86_64 X32 ARM AARCH64 MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 PPC PPC64 PPC64LE S390 "
    "S390X PARISC PARISC64 RISCV64 LOONGARCH64 M68K SH SHEB".split()
)
_OPERATORS = tuple(f"SCMP_CMP_{name}" for name in "NE LT LE EQ GE GT MASKED_EQ".split())
_FLAGS = tuple(f"SECCOMP_FILTER_FLAG_{name}" for name in "TSYNC LOG SPEC_ALLOW WAIT_KILLABLE_RECV".split())


def _action(value: object) -> Action:
    word = text(value)
    if word == "SCMP_ACT_KILL":  # the older word
        return "SCMP_ACT_KILL_THREAD"
    if word == "SCMP_ACT_NOTIFY":
        raise WrongError(
            f"{show(word)} needs an agent that listens, which there is not here (allow or refuse)"
        )
    for action in ACTIONS:
        if word == action:
            return action
    raise WrongError(f"{show(word)} is not an action{nearest(word, ACTIONS)}")


def _known(*known: str) -> Shape:
    """One of many words."""

    def parse(value: object) -> str:
        word = text(value)
        if word not in known:
            raise WrongError(f"{show(word)} is not known here{nearest(word, known)}")
        return word

    return leaf(parse)


def _call(value: object) -> str:
    name = text(value)
    if not _NAME.fullmatch(name):
        raise WrongError(f"{show(name)} is not a name of a system call")
    return name


def _errno_name(value: object) -> int | None:
    name = text(value)
    if not name:
        return None
    for number, known in errno.errorcode.items():
        if known == name:
            return number
    raise WrongError(f"{show(name)} is not an errno{nearest(name, errno.errorcode.values())}")


def _kernel(value: object) -> tuple[int, int] | None:
    match = _KERNEL.fullmatch(text(value))
    if value and not match:
        raise WrongError(f'{show(value)} is not a kernel version (write "MAJOR.MINOR", like "4.8")')
    return (int(match[1]), int(match[2])) if match else None


def _nullable(shape: Shape) -> Shape:
    """As Go writes what is empty: null."""
    return Shape(
        lambda value, place: None if value is None else shape.parse(value, place),
        shape.schema,
    )


def _nothing(value: object) -> None:
    if value:
        raise WrongError("asks for an agent that listens, which there is not here (take it out)")


_TEXT = leaf(text)
_NUMBER = leaf(whole(0, _LARGEST))
_ERRNO = _nullable(leaf(whole(0, _ERRNO_MAX)))
_ERRNO_NAME = _nullable(leaf(_errno_name))
_CALLS = _nullable(list_of(leaf(_call)))
_ARGUMENT: Keys = {
    "index": Key(leaf(whole(0, 5)), "which argument"),
    "value": Key(_NUMBER, "compared with; the mask of SCMP_CMP_MASKED_EQ"),
    "valueTwo": Key(_NUMBER, "what SCMP_CMP_MASKED_EQ wants to see"),
    "op": Key(_known(*_OPERATORS), "how"),
}
_CIRCUMSTANCES: Keys = {
    "caps": Key(_nullable(CAPABILITY_LIST), "capabilities of the container"),
    "arches": Key(_nullable(list_of(_known(*_ARCHES))), "machines"),
    "minKernel": Key(_nullable(leaf(_kernel)), "kernel, from this version on"),
}
_RULE: Keys = {
    "names": Key(_CALLS, "system calls"),
    "name": Key(_nullable(leaf(_call)), "one of them, as older profiles have it"),
    "action": Key(leaf(_action), "what happens"),
    "errnoRet": Key(_ERRNO, "with SCMP_ACT_ERRNO"),
    "errno": Key(_ERRNO_NAME, "the same by name"),
    "args": Key(_nullable(list_of(table(_ARGUMENT))), "only when these hold"),
    "comment": Key(_nullable(_TEXT), "for people"),
    "includes": Key(_nullable(table(_CIRCUMSTANCES)), "only under these circumstances"),
    "excludes": Key(_nullable(table(_CIRCUMSTANCES)), "not under these"),
}
_SUB_ARCHES: Keys = {
    "architecture": Key(_known(*_SCMP_ARCHES), "machine"),
    "subArchitectures": Key(_nullable(list_of(_known(*_SCMP_ARCHES))), "other ABIs it runs"),
}
_PROFILE: Keys = {
    "defaultAction": Key(leaf(_action), "for what no rule matches"),
    "defaultErrnoRet": Key(_ERRNO, "with SCMP_ACT_ERRNO"),
    "defaultErrno": Key(_ERRNO_NAME, "the same by name"),
    "architectures": Key(_nullable(list_of(_known(*_SCMP_ARCHES))), "the machine's own is always meant"),
    "archMap": Key(_nullable(list_of(table(_SUB_ARCHES))), "the same by machine"),
    "flags": Key(_nullable(list_of(words(*_FLAGS))), "not applied"),
    "listenerPath": Key(leaf(_nothing), "not supported"),
    "listenerMetadata": Key(leaf(_nothing), "not supported"),
    "comment": Key(_nullable(_TEXT), "for people"),
    "syscalls": Key(_nullable(list_of(table(_RULE))), "rules"),
}
_SHAPE = table(_PROFILE)


def read_seccomp(value: object, place: Place) -> Any:
    """A Choice. The profile's problems are told with its own name and lines; its path is relative to the naming file."""
    if value in ("default", "unconfined"):
        return Choice(str(value))
    real = host_path(value, place)
    name = path(value)
    shown = os.path.join(os.path.dirname(place.source.name), name)
    try:
        content = read_text(real)
    except UnreadableError as error:
        cure = ' (write "default", "unconfined", or the path of an OCI seccomp profile)'
        raise WrongError(f"{show(name)} {error}{cure}") from error
    problems = place.source.problems
    before = len(problems)
    found = read_json(content, shown, os.path.dirname(real), problems)
    if found is None:
        return BROKEN
    at = found[1].root()
    given = read(_SHAPE, found[0], at)
    choice: Any = BROKEN if given is BROKEN else _build(real, given, at)
    if len(problems) == before:
        _check_start(choice.profile, at)
    return choice if len(problems) == before else BROKEN


SECCOMP = Shape(read_seccomp, {"type": "string"})


def _said(given: Table, key: str) -> Any:
    """What was read; None for what was not written, is null, or was reported."""
    return pick(given, key, None)


def _check_start(profile: Profile, place: Place) -> None:
    runs = any("execve" in rule.names and rule.action in PERMISSIVE for rule in profile.rules)
    if not runs and profile.default_action not in PERMISSIVE:
        place.at("syscalls").report('no rule allows "execve", so no program could be started (allow it)')


def _build(real: str, given: Table, place: Place) -> Choice:
    default: Action = pick(given, "defaultAction", "SCMP_ACT_ERRNO")
    if "defaultAction" not in given:
        place.at("defaultAction").report('is missing (write "SCMP_ACT_ERRNO")')
    notes: list[str] = []
    rules = []
    for index, each in enumerate(_said(given, "syscalls") or ()):
        rules.append(_rule(each, place.at("syscalls", index)))
        notes += _check_names(rules[-1], default, each)
    if _said(given, "flags"):
        notes.append(f"{given['flags'].place}: flags: filters are loaded without flags")
    if len(notes) > _NOTES_MAX:
        notes[_NOTES_MAX:] = [f"{place}: and {len(notes) - _NOTES_MAX} more like this"]
    number = _errno(given, default, "defaultErrno", place)
    return Choice(real, Profile(default, number, tuple(rules)), tuple(notes))


def _rule(given: Table, place: Place) -> Rule:
    names = tuple(_said(given, "names") or ())
    one = _said(given, "name")
    if not names and not one and not {"names", "name"} & given.keys():
        place.at("names").report("is missing (name the system calls)")
    if "action" not in given:
        place.at("action").report('is missing (write "SCMP_ACT_ALLOW")')
    action: Action = pick(given, "action", "SCMP_ACT_ERRNO")
    return Rule(
        tuple(dict.fromkeys((*names, one) if one else names)),
        action,
        _errno(given, action, "errno", place),
        _arguments(given, place.at("args")),
        _circumstances(given, "includes"),
        _circumstances(given, "excludes"),
    )


def _errno(given: Table, action: Action, key: str, place: Place) -> int:
    """The number of `errno` or `errnoRet`, EPERM without a word."""
    number = _said(given, f"{key}Ret")
    named = _said(given, key)
    if None not in (number, named) and number != named:
        place.at(key).report(f"and {key}Ret say different numbers, {named} and {number} (write one)")
    said = number if named is None else named
    if said and action not in ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"):
        which = f"{key}Ret" if named is None else key
        place.at(which).report(f'goes with "SCMP_ACT_ERRNO", not with {show(action)}')
    return errno.EPERM if said is None else said


def _arguments(given: Table, place: Place) -> tuple[Comparison, ...]:
    found: list[Comparison] = []
    for number, one in enumerate(_said(given, "args") or ()):
        for key, example in (("index", "0 to 5"), ("value", "a number"), ("op", '"SCMP_CMP_EQ"')):
            if key not in one:
                place.at(number, key).report(f"is missing (write {example})")
        index = pick(one, "index", -1)
        if index >= 0 and any(each.index == index for each in found):
            # runc ORs such comparisons, though it ANDs those of different arguments.
            place.at(number, "index").report(
                f"argument {index} is compared twice in one rule, which runtimes read differently (write a rule for each)"
            )
        two = pick(one, "valueTwo", 0)
        found.append(Comparison(index, pick(one, "op", "SCMP_CMP_EQ"), pick(one, "value", 0), two))
    return tuple(found)


def _circumstances(given: Table, key: str) -> Circumstances:
    inner: Table = _said(given, key) or Table()
    return Circumstances(
        tuple(_said(inner, "caps") or ()),
        tuple(_said(inner, "arches") or ()),
        _said(inner, "minKernel"),
    )


def _check_names(rule: Rule, default: Action, given: Table) -> list[str]:
    """Notes on names that are no system calls; problems where they were to be refused."""
    notes = []
    for key in ("names", "name"):
        value = _said(given, key) or ()
        for index, name in enumerate(value if key == "names" else (value,) if value else ()):
            if name in KNOWN:
                continue
            at = given[key].place.at(index) if key == "names" else given[key].place
            said = f"{show(name)} is no system call known here{nearest(name, KNOWN)}"
            if default in PERMISSIVE and rule.action not in PERMISSIVE:
                at.report(f"{said}, so it cannot be refused (take it out, or refuse by default)")
            else:
                notes.append(str(Problem(at.source.name, at.line, at.key, f"{said}; nothing is done for it")))
    return notes
