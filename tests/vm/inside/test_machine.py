"""The machine is what the other tests in it rely on: cgroup v2 alone, with every controller they need."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.vm

CGROUP = Path("/sys/fs/cgroup")


def test_v2_is_the_only_hierarchy() -> None:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    assert [(kind, where) for _, where, kind, *_ in mounts if kind.startswith("cgroup")] == [
        ("cgroup2", str(CGROUP))
    ]


def test_the_controllers_are_handed_down() -> None:
    enabled = (CGROUP / "cgroup.subtree_control").read_text().split()
    assert {"cpu", "memory", "pids", "io"} <= set(enabled)


def test_memory_has_a_limit_that_can_be_set() -> None:
    leaf = CGROUP / "test-machine"
    leaf.mkdir()
    try:
        (leaf / "memory.max").write_text("8M")
        assert (leaf / "memory.max").read_text() == f"{8 << 20}\n"
    finally:
        leaf.rmdir()
