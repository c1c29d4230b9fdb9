"""Seccomp profiles: what Docker's and podman's say is understood, what they get wrong is told at its line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config.load import load
from supervisor.config.place import Source
from supervisor.config.seccomp import Choice, read_seccomp
from supervisor.config.values import WrongError
from supervisor.core.seccomp import Circumstances, Comparison, Profile, Rule
from supervisor.core.spec import Configuration
from supervisor.errors import ConfigError, Problem

WEB = '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\nseccomp = "web.json"\n'
#: A rule without which no program could start.
EXECVE = {"names": ["execve"], "action": "SCMP_ACT_ALLOW"}
Read = Callable[..., Configuration]

#: The forms that profiles in the wild have: of the OCI specification, Docker's and podman's, new and old.
WIDE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "defaultErrno": "ENOSYS",
    "architectures": None,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
    "syscalls": [
        {"names": ["execve", "read", "fcntl64"], "action": "SCMP_ACT_ALLOW", "args": [], "comment": "", "includes": {},
         "excludes": {}},
        {"name": "ptrace", "action": "SCMP_ACT_ALLOW", "args": None, "includes": {"minKernel": "4.8"}},
        {"names": ["bpf"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "errno": "EPERM",
         "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW",
         "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}]},
        {"names": ["reboot"], "action": "SCMP_ACT_KILL"},
    ],
}  # fmt: skip


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(profile: object, toml: str = WEB) -> Configuration:
        text = profile if isinstance(profile, str) else json.dumps(profile, indent=1)
        (tmp_path / "configs").mkdir(exist_ok=True)
        (tmp_path / "configs/web.json").write_text(text)
        (tmp_path / "configs/web.toml").write_text(toml)
        return load("configs", cwd=str(tmp_path), environ={})

    return run


def problems(read: Read, profile: object) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        read(profile)
    return list(caught.value.problems)


def allowing(**rule: Any) -> dict[str, Any]:
    """A profile with one more rule; its text has the rule's own lines at the end."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [EXECVE, {"names": ["read"], "action": "SCMP_ACT_ALLOW", **rule}],
    }


def test_a_profile_becomes_plain_values(read: Read, tmp_path: Path) -> None:
    configuration = read(WIDE)
    path = str(tmp_path / "configs/web.json")
    assert configuration.containers[0].seccomp == path
    assert configuration.notes == ()
    assert dict(configuration.seccomp) == {
        path: Profile(
            "SCMP_ACT_ERRNO",
            38,
            (
                Rule(("execve", "read", "fcntl64"), "SCMP_ACT_ALLOW"),
                Rule(("ptrace",), "SCMP_ACT_ALLOW", includes=Circumstances(kernel=(4, 8))),
                Rule(
                    ("bpf",),
                    "SCMP_ACT_ERRNO",
                    1,
                    excludes=Circumstances(capabilities=("SYS_ADMIN",), arches=("s390", "s390x")),
                ),
                Rule(("clone",), "SCMP_ACT_ALLOW", 1, (Comparison(0, "SCMP_CMP_MASKED_EQ", 0x7E020000, 0),)),
                Rule(("reboot",), "SCMP_ACT_KILL_THREAD"),
            ),
        )
    }


def test_containers_share_a_profile_and_one_without_it_carries_none(read: Read) -> None:
    both = WEB + WEB.replace("web]", "db]") + WEB.replace("web]", "log]").replace("web.json", "unconfined")
    configuration = read(WIDE, both)
    assert len(configuration.seccomp) == 1
    assert [one.seccomp == "unconfined" for one in configuration.containers] == [False, False, True]


def test_defaults_may_name_the_profile(read: Read) -> None:
    toml = WEB.replace('seccomp = "web.json"\n', '[defaults]\nseccomp = "web.json"\n')
    assert len(read(WIDE, toml).seccomp) == 1


#: A profile, the key and fragment of its only problem; the last rule's keys are on lines of their own.
WRONG: list[tuple[object, str, str]] = [
    ({**WIDE, "defaultAction": "SCMP_ACT_DENY"}, "defaultAction", "is not an action"),
    ({"syscalls": [EXECVE]}, "defaultAction", 'is missing (write "SCMP_ACT_ERRNO")'),
    ({**WIDE, "sysCalls": []}, "sysCalls", 'did you mean "syscalls"?'),
    ({**WIDE, "defaultErrno": "ENOSIS"}, "defaultErrno", "is not an errno"),
    ({**WIDE, "defaultErrnoRet": 1}, "defaultErrno", "say different numbers, 38 and 1"),
    ({**WIDE, "architectures": ["SCMP_ARCH_AMD64"]}, "architectures[0]", 'did you mean "SCMP_ARCH_'),
    ({**WIDE, "flags": ["SECCOMP_FILTER_FLAG_NEW_LISTENER"]}, "flags[0]", "is not known here"),
    ({**WIDE, "listenerPath": "/run/agent.sock"}, "listenerPath", "agent that listens"),
    ({"defaultAction": "SCMP_ACT_ERRNO"}, "syscalls", 'no rule allows "execve"'),
    (allowing(action="SCMP_ACT_ALOW"), "syscalls[1].action", 'did you mean "SCMP_ACT_ALLOW"?'),
    (allowing(action="SCMP_ACT_NOTIFY"), "syscalls[1].action", "agent that listens"),
    (allowing(action=1), "syscalls[1].action", "1 is not a string"),
    (allowing(names=["re ad"]), "syscalls[1].names[0]", "is not a name of a system call"),
    (allowing(names="read"), "syscalls[1].names", "is not a list"),
    (allowing(errnoRet=1), "syscalls[1].errnoRet", 'goes with "SCMP_ACT_ERRNO"'),
    (allowing(action="SCMP_ACT_ERRNO", errnoRet=4096), "syscalls[1].errnoRet", "from 0 to 4095"),
    (allowing(args=[{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]), "syscalls[1].args[0].index", "from 0 to 5"),
    (allowing(args=[{"index": 0, "value": -1, "op": "SCMP_CMP_EQ"}]), "syscalls[1].args[0].value", "is not a whole"),
    (allowing(args=[{"index": 0, "value": 2**64, "op": "SCMP_CMP_EQ"}]), "syscalls[1].args[0].value", "is not a whole"),
    (allowing(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_IS"}]), "syscalls[1].args[0].op", "is not known here"),
    (allowing(args=[{"index": 0, "value": 1}]), "syscalls[1].args[0].op", "is missing"),
    (
        allowing(args=[{"index": 0, "value": each, "op": "SCMP_CMP_NE"} for each in (1, 2)]),
        "syscalls[1].args[1].index",
        "compared twice in one rule",
    ),
    (allowing(includes={"caps": ["CAP_ROOT"]}), "syscalls[1].includes.caps[0]", "is not a capability"),
    (allowing(excludes={"arches": ["amd46"]}), "syscalls[1].excludes.arches[0]", 'did you mean "amd64"?'),
    (allowing(includes={"minKernel": "new"}), "syscalls[1].includes.minKernel", 'write "MAJOR.MINOR"'),
    ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["ptrase"], "action": "SCMP_ACT_ERRNO"}]},
     "syscalls[0].names[0]", 'did you mean "ptrace"?), so it cannot be refused'),
    ([], "", "a list is not a table"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "key", "fragment"), WRONG, ids=lambda case: case if isinstance(case, str) else ""
)
def test_what_is_wrong_is_told_once_at_its_key(read: Read, profile: object, key: str, fragment: str) -> None:
    (problem,) = problems(read, profile)
    assert (problem.file, problem.key) == ("configs/web.json", key)
    assert fragment in problem.text


def test_a_problem_has_the_line_of_the_json_file(read: Read) -> None:
    text = '{"defaultAction": "SCMP_ACT_ERRNO",\n "syscalls": [\n {"names": ["execve",\n"read"],\n "action":\n "ALLOW"}]}'
    (problem,) = problems(read, text)
    assert str(problem).startswith('configs/web.json:5: syscalls[0].action: "ALLOW" is not an action')


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("", "configs/web.json:1: is not JSON: "),
        ('{"defaultAction": \n}', "configs/web.json:2: is not JSON: "),
        ("[" * 100_000, "configs/web.json: is nested too deeply"),
        ("9" * 10_000, "configs/web.json: is not JSON: "),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW",\n"defaultAction": "SCMP_ACT_ALLOW"}',
            "configs/web.json:2: defaultAction: is written twice",
        ),
        ("#" * ((1 << 20) + 1), 'configs/web.toml:5: container.web.seccomp: "web.json" is larger than 1 MiB'),
    ],
)
def test_a_file_that_is_no_profile_is_told_with_its_place(read: Read, text: str, start: str) -> None:
    (problem,) = problems(read, text)
    assert str(problem).startswith(start)


def test_a_missing_profile_names_the_choices(read: Read) -> None:
    with pytest.raises(ConfigError) as caught:
        read(WIDE, WEB.replace("web.json", "defualt"))
    assert str(caught.value) == (
        'configs/web.toml:5: container.web.seccomp: "defualt" cannot be read: No such file or directory '
        '(write "default", "unconfined", or the path of an OCI seccomp profile)'
    )


def test_a_name_that_would_be_allowed_and_is_unknown_is_a_note(read: Read) -> None:
    (note,) = read(allowing(names=["read", "opennat"])).notes
    said = '"opennat" is no system call known here (did you mean "openat"?); nothing is done for it'
    assert note == f"configs/web.json:13: syscalls[1].names[1]: {said}"


def test_many_unknown_names_are_counted(read: Read) -> None:
    notes = read(allowing(names=[f"zzzzz{number}" for number in range(300)])).notes
    assert (len(notes), notes[-1]) == (21, "configs/web.json: and 280 more like this")


def test_names_of_other_machines_go_without_a_word(read: Read) -> None:
    assert read(allowing(names=["socketcall", "s390_runtime_instr", "open", "sync_file_range2"])).notes == ()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
_LIKELY = st.sampled_from([*WIDE["syscalls"], [], {}, "", None, ["SYS_ADMIN"], "SCMP_ACT_ALLOW", 1])  # type: ignore[misc]
_KEYS = st.sampled_from("names name action errnoRet errno args includes excludes index value op caps".split())
_RULES = st.dictionaries(_KEYS, _LIKELY | _VALUES | st.dictionaries(_KEYS, _LIKELY, max_size=4), max_size=6)
_PROFILES = st.dictionaries(
    st.sampled_from([*WIDE, "flags", "listenerPath", "other"]),
    _VALUES | _LIKELY | st.lists(_RULES | _VALUES, max_size=3),
    max_size=6,
)


@given(content=_PROFILES.map(json.dumps) | _VALUES.map(json.dumps) | st.text(max_size=40))
def test_any_text_is_a_profile_or_reported(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "any.json").write_bytes(content.encode("utf-8", "surrogatepass"))
    source = Source("any.toml", str(folder))
    try:
        choice = read_seccomp("any.json", source.root())
    except WrongError as error:
        assert "is not UTF-8" in str(error)  # noqa: PT017  # the other ways lead on
        return
    assert isinstance(choice, Choice) != bool(source.problems)
    assert all(problem.text and str(problem).isprintable() for problem in source.problems)
