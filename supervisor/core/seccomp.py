"""A seccomp profile as the OCI runtime specification words it (config-linux.md, "Seccomp"), as frozen values.

A profile says less than its JSON file can: architectures are left out, because only the machine's own
calls are ever let through, and whatever is named twice stands once.

Law: of all the rules that match a call, the one with the most restrictive action counts, in the
kernel's own order for stacked filters (seccomp(2)): `ACTIONS` from left to right. Between equal
actions the first rule counts. A call that no rule matches gets the default action.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

Action = Literal[
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_ALLOW",
]
#: Most restrictive first, as written above.
ACTIONS: tuple[Action, ...] = get_args(Action)
#: Actions by which the call is made after all.
PERMISSIVE: frozenset[Action] = frozenset({"SCMP_ACT_TRACE", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"})

#: OCI's words; the last is ours: `(argument & value) != value_two`, which files cannot say.
Operator = Literal[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
    "MASKED_NE",
]
EPERM = 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """An argument, 0 to 5, as an unsigned 64-bit number; SCMP_CMP_MASKED_EQ: `(argument & value) == value_two`."""

    index: int
    op: Operator
    value: int
    value_two: int = 0


@dataclass(frozen=True, slots=True)
class Circumstances:
    """Under what a rule is included or excluded (Docker's and podman's extension).

    `capabilities` without CAP_; `arches` in Go's words (amd64, arm64 …); `kernel` is (major, minor), at least.
    """

    capabilities: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    kernel: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens to calls of these `names` when every comparison holds.

    `errno` goes with SCMP_ACT_ERRNO, and is the message to the tracer with SCMP_ACT_TRACE.
    """

    names: tuple[str, ...]
    action: Action
    errno: int = EPERM
    args: tuple[Comparison, ...] = ()
    includes: Circumstances = Circumstances()
    excludes: Circumstances = Circumstances()


@dataclass(frozen=True, slots=True)
class Profile:
    default_action: Action
    errno: int = EPERM
    rules: tuple[Rule, ...] = ()


def applies(rule: Rule, capabilities: Collection[str], arch: str, kernel: tuple[int, int]) -> bool:
    """Whether a rule counts for a container: all capabilities it includes, none that it excludes."""
    wanted, unwanted = rule.includes, rule.excludes
    return (
        all(name in capabilities for name in wanted.capabilities)
        and (not wanted.arches or arch in wanted.arches)
        and (wanted.kernel is None or kernel >= wanted.kernel)
        and not any(name in capabilities for name in unwanted.capabilities)
        and arch not in unwanted.arches
        and (unwanted.kernel is None or kernel < unwanted.kernel)
    )
