"""What a profile says is what its BPF does: comparisons as Python computes them, the most restrictive rule first."""

import errno

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from supervisor.core.seccomp import ACTIONS, Action, Circumstances, Comparison, Operator, Profile, Rule
from supervisor.core.spec import Configuration, Container, Logs, Settings
from supervisor.core.syscalls import NUMBERS
from supervisor.errors import ConfigError
from supervisor.launcher.seccomp import compile_filters, compile_profile
from tests.support.bpf import ALLOW, KILL_PROCESS, KILL_THREAD, LOG, TRAP, call, errno_of

NOBODY: frozenset[str] = frozenset()
OPERATORS = {
    "SCMP_CMP_NE": lambda seen, value, two: seen != value,
    "SCMP_CMP_LT": lambda seen, value, two: seen < value,
    "SCMP_CMP_LE": lambda seen, value, two: seen <= value,
    "SCMP_CMP_EQ": lambda seen, value, two: seen == value,
    "SCMP_CMP_GE": lambda seen, value, two: seen >= value,
    "SCMP_CMP_GT": lambda seen, value, two: seen > value,
    "SCMP_CMP_MASKED_EQ": lambda seen, value, two: seen & value == two,
    "MASKED_NE": lambda seen, value, two: seen & value != two,
}
#: Few different halves, so that equal ones meet.
_HALVES = st.sampled_from([0, 1, 2, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF])
_WORDS = st.builds(lambda high, low: high << 32 | low, _HALVES, _HALVES)


def refusing(*rules: Rule) -> bytes:
    return compile_profile(Profile("SCMP_ACT_ERRNO", errno.ENOSYS, rules), NOBODY)


@given(op=st.sampled_from(sorted(OPERATORS)), value=_WORDS, two=_WORDS, seen=_WORDS, index=st.integers(0, 5))
@example(op="SCMP_CMP_MASKED_EQ", value=0, two=0, seen=5, index=0)
@example(op="SCMP_CMP_MASKED_EQ", value=0, two=1 << 32, seen=5, index=0)
def test_an_argument_is_compared_as_an_unsigned_64_bit_number(
    op: Operator, value: int, two: int, seen: int, index: int
) -> None:
    program = refusing(Rule(("read",), "SCMP_ACT_ALLOW", args=(Comparison(index, op, value, two),)))
    args = [0] * 6
    args[index] = seen
    assert (call(program, "read", *args) == ALLOW) == OPERATORS[op](seen, value, two)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(OPERATORS)), _WORDS, _WORDS), min_size=1, max_size=4),
    st.lists(_WORDS, min_size=6, max_size=6),
)
def test_a_rule_holds_when_all_of_its_comparisons_do(
    said: list[tuple[Operator, int, int]], args: list[int]
) -> None:
    comparisons = tuple(Comparison(index, *each) for index, each in enumerate(said))
    program = refusing(Rule(("read",), "SCMP_ACT_ALLOW", args=comparisons))
    expected = all(OPERATORS[op](args[index], value, two) for index, (op, value, two) in enumerate(said))
    assert (call(program, "read", *args) == ALLOW) == expected


@pytest.mark.parametrize("order", [1, -1], ids=["as written", "reversed"])
def test_of_rules_that_match_the_most_restrictive_counts_whatever_their_order(order: int) -> None:
    first_word = Comparison(0, "SCMP_CMP_EQ", 1)
    rules = (
        Rule(("ioctl",), "SCMP_ACT_ALLOW"),
        Rule(("ioctl",), "SCMP_ACT_ERRNO", errno.EPERM, (first_word,)),
        Rule(("ioctl",), "SCMP_ACT_KILL_PROCESS", args=(first_word, Comparison(1, "SCMP_CMP_EQ", 2))),
    )[::order]
    program = refusing(*rules)
    assert call(program, "ioctl", 0, 2) == ALLOW
    assert errno_of(call(program, "ioctl", 1, 0)) == errno.EPERM
    assert call(program, "ioctl", 1, 2) == KILL_PROCESS


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("SCMP_ACT_KILL_PROCESS", KILL_PROCESS), ("SCMP_ACT_KILL_THREAD", KILL_THREAD), ("SCMP_ACT_TRAP", TRAP),
        ("SCMP_ACT_ERRNO", 0x50000 | 7), ("SCMP_ACT_TRACE", 0x7FF00000 | 7), ("SCMP_ACT_LOG", LOG),
        ("SCMP_ACT_ALLOW", ALLOW),
    ],
)  # fmt: skip
def test_each_action_is_the_kernels_number(action: Action, expected: int) -> None:
    program = compile_profile(Profile(action, 7, (Rule(("read",), action, 7),)), NOBODY)
    assert {call(program, "read"), call(program, "write")} == {expected}


def test_every_action_has_its_test() -> None:
    values = {call(compile_profile(Profile(action), NOBODY), "read") for action in ACTIONS}
    assert len(values) == len(ACTIONS)


@given(st.sets(st.sampled_from(sorted(NUMBERS["x86_64"])), max_size=60))
def test_exactly_the_named_calls_are_allowed(names: set[str]) -> None:
    program = refusing(Rule(tuple(names), "SCMP_ACT_ALLOW"))
    assert {name for name in NUMBERS["x86_64"] if call(program, name) == ALLOW} == names


def test_far_jumps_reach() -> None:
    """Between two allowed calls stand more steps than a conditional jump can skip."""
    many = tuple(
        Rule((name,), "SCMP_ACT_ALLOW", args=tuple(Comparison(index, "SCMP_CMP_EQ", 7) for index in range(6)))
        for name in ("stat", "fstat", "lstat", "poll", "lseek", "mmap", "mprotect", "munmap", "brk")
    )
    program = refusing(*many, Rule(("read", "write", "rseq"), "SCMP_ACT_ALLOW"))
    assert {call(program, name) for name in ("read", "write", "rseq")} == {ALLOW}
    assert all(call(program, rule.names[0], *[7] * 6) == ALLOW for rule in many)
    assert all(errno_of(call(program, rule.names[0], *[7] * 5, 8)) == errno.ENOSYS for rule in many)


@pytest.mark.parametrize(
    ("includes", "excludes", "counts"),
    [
        (Circumstances(("CHOWN",)), Circumstances(), True),
        (Circumstances(("CHOWN", "KILL")), Circumstances(), False),
        (Circumstances(arches=("arm64", "amd64")), Circumstances(), True),
        (Circumstances(arches=("arm64",)), Circumstances(), False),
        (Circumstances(kernel=(6, 1)), Circumstances(), True),
        (Circumstances(kernel=(6, 10)), Circumstances(), False),
        (Circumstances(), Circumstances(("KILL",)), True),
        (Circumstances(), Circumstances(("KILL", "CHOWN")), False),
        (Circumstances(), Circumstances(arches=("amd64",)), False),
        (Circumstances(), Circumstances(kernel=(6, 1)), False),
        (Circumstances(), Circumstances(kernel=(6, 10)), True),
    ],
)
def test_a_rule_counts_under_its_circumstances(
    includes: Circumstances, excludes: Circumstances, counts: bool
) -> None:
    rule = Rule(("read",), "SCMP_ACT_ALLOW", includes=includes, excludes=excludes)
    program = compile_profile(Profile("SCMP_ACT_ERRNO", 1, (rule,)), frozenset({"CHOWN"}), kernel=(6, 9))
    assert (call(program, "read") == ALLOW) == counts


def test_a_profile_that_bpf_cannot_hold_is_blamed() -> None:
    long = Rule(
        ("read",), "SCMP_ACT_ALLOW", args=tuple(Comparison(index, "SCMP_CMP_LT", 1) for index in range(6))
    )
    configuration = Configuration(
        Settings(Logs("/logs")),
        (Container("web", "host", ("/bin/true",), seccomp="/web.json"),),
        seccomp=(("/web.json", Profile("SCMP_ACT_ERRNO", 1, (long,) * 200)),),
    )
    with pytest.raises(
        ConfigError, match=r"^/web\.json: syscalls: makes \d+ BPF instructions, the kernel takes 4096"
    ):
        compile_filters(configuration, "x86_64", "6.1")
