"""Whatever a file says, `load` gives a Configuration or a ConfigError whose problems name a file; nothing else."""

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.config.load import load
from supervisor.config.schema import json_schema
from supervisor.core.spec import Configuration
from supervisor.errors import ConfigError

VALID: dict[str, Any] = {
    "supervisor": {
        "user": "nobody",
        "group": "root",
        "runtime_dir": "/run/x",
        "logs": {"dir": "logs", "segment": "64MiB", "segment_age": "24h", "keep": "1GiB", "compress": "none"},
        "monitor": {"interval": "1s", "throttled_percent": 25},
    },
    "defaults": {"userns": "host", "env": {"A": "b"}, "cgroup": {"pids": {"max": 5}}, "restart": "never"},
    "container": {
        "web": {
            "rootfs": "host",
            "rootfs_mode": "overlay",
            "command": ["/bin/true", "x"],
            "user": "0:0",
            "groups": ["audio"],
            "workdir": "/",
            "env": {"LANG": "C"},
            "env_file": "c.env",
            "hostname": "web",
            "init": True,
            "replicas": 2,
            "namespaces": ["mount", "pid"],
            "network": "host",
            "capabilities": ["CHOWN"],
            "no_new_privileges": True,
            "seccomp": "unconfined",
            "rlimits": {"nofile": 10, "core": "unlimited"},
            "devices": [],
            "mounts": [{"type": "bind", "source": "/srv", "target": "/srv", "options": ["ro"]}],
            "cgroup": {
                "cpu": {"max": "10%"},
                "memory": {"max": "1M", "oom": {"group": True}},
                "io.weight": 5,
            },
            "restart": {
                "policy": "always",
                "success": [0],
                "backoff": {"initial": "1s", "factor": 2.0, "max": "2s", "jitter": 0.1},
                "limit": {"failures": 1, "within": "1s"},
            },
            "stop": {"signal": "SIGTERM", "timeout": "1s"},
            "output": {"format": "text", "max_line": "64KiB"},
        },
        "db": {
            "rootfs": "host",
            "command": ["/bin/true"],
            "depends": {"after": ["web.1"], "requires": ["web"]},
            "ready": {"type": "log", "pattern": "x+", "timeout": "1s"},
            "health": {
                "type": "http",
                "url": "http://127.0.0.1:1/",
                "interval": "1s",
                "retries": 3,
                "action": "none",
            },
        },
    },
    "group": {"app": {"members": ["web", "db"], "strategy": "one_for_all"}},
}


def known_keys(schema: Any) -> set[str]:
    if not isinstance(schema, dict):
        return set()
    return set(schema.get("properties", ())).union(*(known_keys(each) for each in schema.values()))


KEYS = st.one_of(st.sampled_from(sorted(known_keys(json_schema()))), st.text(max_size=4))
#: Texts that some reader or other may stumble over.
TEXTS = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [
            "",
            "host",
            "max",
            "0",
            "web",
            "10%",
            "1s",
            "64MiB",
            "/",
            "../..",
            "//dev",
            "size=1M",
            "http://[::1",
            "(",
            "a{9999999999}",
            "[[a]]",
            "tcp",
            "exec",
            "http://a:99999/",
            "\0",
            "\x1b[1m",
            "SIG",
            ":",
            "1:",
            "é" * 40,
            "default 5",
            "x" * 5000,
        ]
    ),
)
SCALARS = st.one_of(st.booleans(), st.integers(-(1 << 62), 1 << 62), st.floats(), TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=5,
)


def as_toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{text(key)} = {as_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return text(value) if isinstance(value, str) else str(value).lower()


def text(value: str) -> str:
    return '"' + "".join(char if char.isalnum() else f"\\U{ord(char):08x}" for char in value) + '"'


def document(value: dict[str, Any]) -> str:
    return "".join(f"{text(key)} = {as_toml(each)}\n" for key, each in value.items())


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (parent, key) of a nested value."""
    inner = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else []
    return [place for key in inner for place in [(value, key), *places(value[key])]]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    value = copy.deepcopy(VALID)
    for _ in range(draw(st.integers(1, 4))):
        found = places(value)
        if not found:
            break
        parent, key = draw(st.sampled_from(found))
        change = draw(st.sampled_from(["drop", "retype", "rename", "retext", "add"]))
        if change == "drop":
            del parent[key]
        elif change == "rename" and isinstance(parent, dict):
            parent[draw(KEYS)] = parent.pop(key)
        elif change == "add" and isinstance(parent, dict):
            parent[draw(KEYS)] = draw(VALUES)
        else:
            parent[key] = draw(TEXTS if change == "retext" else VALUES)
    return value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("mutations")
    (path / "c.env").write_text("A=1\n")
    return path


def check(folder: Path, content: bytes) -> None:
    (folder / "c.toml").write_bytes(content)
    try:
        configuration = load("c.toml", cwd=str(folder), environ={})
    except ConfigError as error:
        for problem in error.problems or pytest.fail("refused without a word"):
            assert problem.file
            assert problem.text
            assert 0 <= problem.line <= content.count(b"\n") + 1
            assert str(problem).isprintable()
    else:
        assert isinstance(configuration, Configuration)
        hash(configuration)  # frozen all the way down


def test_the_valid_one_loads(folder: Path) -> None:
    (folder / "c.toml").write_text(document(VALID))
    assert load("c.toml", cwd=str(folder), environ={}).containers


@given(mutated())
@settings(max_examples=300, deadline=None)
def test_mutated_values_load_or_are_problems(folder: Path, value: dict[str, Any]) -> None:
    check(folder, document(value).encode())


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_garbage_bytes_load_or_are_problems(folder: Path, data: st.DataObject) -> None:
    content = bytearray(document(VALID).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content)))
        length = data.draw(st.integers(0, 5))
        content[at : at + length] = data.draw(
            st.one_of(st.binary(max_size=5), st.sampled_from([b"\n", b'"""', b"[[", b"#", b"="]))
        )
    check(folder, bytes(content))


@given(st.dictionaries(KEYS, VALUES, max_size=3))
@settings(deadline=None)
def test_any_value_of_any_container_key_loads_or_is_a_problem(folder: Path, keys: dict[str, Any]) -> None:
    base = {"rootfs": "host", "userns": "host", "command": ["/bin/true"]}
    check(folder, document({"container": {"web": base | keys}}).encode())
