"""Where cgroups are is read off two texts; what v2 calls a limit is said in v1's words where it must be."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.config.cgroup import FILES
from supervisor.errors import KernelError
from supervisor.kernel import cgroup

UNIFIED = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
)


def test_a_unified_host_has_one_folder() -> None:
    layout = cgroup.discover(UNIFIED, "0::/user.slice/session-1.scope\n")
    assert layout == cgroup.Layout("/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/session-1.scope", {})


def test_a_hybrid_host_has_a_folder_for_each_v1_controller_too() -> None:
    layout = cgroup.discover(HYBRID, "8:pids:/p\n1:cpu,cpuacct:/\n0::/\n")
    assert layout.unified == "/sys/fs/cgroup/unified"
    assert layout.v1["cpu"] == "/sys/fs/cgroup/cpu"
    assert layout.v1["pids"] == "/sys/fs/cgroup/pids/p"


def test_a_host_without_v2_has_no_unified_folder() -> None:
    assert not cgroup.discover(HYBRID.splitlines()[0], "1:cpu,cpuacct:/\n").unified


def test_a_mount_that_shows_part_of_the_hierarchy_is_taken_as_it_is() -> None:
    mountinfo = "29 23 0:26 /docker/abc /sys/fs/cgroup rw - cgroup2 cgroup rw\n"
    assert cgroup.discover(mountinfo, "0::/docker/abc\n").unified == "/sys/fs/cgroup"


def test_a_limit_goes_to_v2_where_v2_has_its_controller() -> None:
    layout = cgroup.discover(UNIFIED, "0::/\n")
    assert cgroup.place("memory.max", layout, frozenset({"memory"})) == ""


def test_a_limit_goes_to_v1_where_only_v1_has_its_controller() -> None:
    layout = cgroup.discover(HYBRID, "8:pids:/\n1:cpu,cpuacct:/\n0::/\n")
    assert cgroup.place("cpu.max", layout, frozenset()) == "cpu"


@pytest.mark.parametrize("key", ["memory.max", "io.weight", "memory.oom.group"])
def test_a_limit_that_no_hierarchy_can_hold_is_refused(key: str) -> None:
    layout = cgroup.discover(HYBRID, "8:pids:/\n1:cpu,cpuacct:/\n0::/\n")
    with pytest.raises(KernelError) as refused:
        cgroup.place(key, layout, frozenset())
    assert refused.value.errno == errno.EOPNOTSUPP
    assert refused.value.path == key


def test_cpu_max_in_v1_words_sets_the_period_first() -> None:
    assert cgroup.translate("cpu.max", "10000 50000") == (
        ("cpu.cfs_period_us", "50000"),
        ("cpu.cfs_quota_us", "10000"),
    )


def test_no_cap_in_v1_words_is_minus_one() -> None:
    assert cgroup.translate("cpu.max", "max 100000")[1] == ("cpu.cfs_quota_us", "-1")


@given(st.integers(1, 10000))
def test_weights_become_shares_the_kernel_takes(weight: int) -> None:
    ((name, shares),) = cgroup.translate("cpu.weight", str(weight))
    assert name == "cpu.shares"
    assert 2 <= int(shares) <= 262144


def test_a_memory_limit_counts_as_in_force_when_rounded_to_pages() -> None:
    assert cgroup.in_force("memory.max", "1000001", "999424")
    assert not cgroup.in_force("memory.max", "1000001", "max")


def test_a_limit_that_reads_differently_is_not_in_force() -> None:
    assert not cgroup.in_force("cpu.max", "10000 100000", "max 100000")
    assert cgroup.in_force("io.weight", "100", "default 100")


def test_writing_where_nothing_is_names_file_and_value(tmp_path: object) -> None:
    with pytest.raises(KernelError) as failed:
        cgroup.write(str(tmp_path), "cpu.max", "10000 100000")
    assert failed.value.errno == errno.ENOENT
    assert failed.value.path.endswith("/cpu.max = 10000 100000")


def test_a_limit_that_is_declared_no_more_is_given_its_first_value_before_the_new_ones() -> None:
    old = (("", "memory.max", "1"), ("cpu", "cpu.cfs_quota_us", "5"), ("", "pids.max", "7"))
    assert cgroup.succeed(old, (("", "pids.max", "9"),)) == (
        ("", "memory.max", "max"),
        ("cpu", "cpu.cfs_quota_us", "-1"),
        ("", "pids.max", "9"),
    )


def test_every_limit_that_can_be_declared_has_a_first_value() -> None:
    for key in FILES:
        for name, _ in (*cgroup.translate(key, "100"), (key, "")):
            assert name in cgroup.DEFAULTS


def test_a_switch_is_no_number_of_bytes_that_is_rounded_down_to_pages() -> None:
    assert cgroup.in_force("memory.max", "4097", "4096")
    assert not cgroup.in_force("memory.oom.group", "1", "0")
    assert cgroup.in_force("memory.oom.group", "1", "1")
