"""Holds: the kernel's own text is read exactly, and no bytes whatever make a parser raise."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.monitor import stat

V2 = (
    b"usage_usec 30\nuser_usec 20\nsystem_usec 10\nnice_usec 0\n"
    b"nr_periods 5\nnr_throttled 2\nthrottled_usec 700\nnr_bursts 0\nburst_usec 0\n"
)
V1 = b"nr_periods 5\nnr_throttled 2\nthrottled_time 700999\nnr_bursts 0\nburst_time 0\n"
PARSERS: tuple[Callable[[bytes | None], object], ...] = (
    stat.cpu_stat,
    stat.cpu_stat_v1,
    stat.cpu_max,
    stat.cfs_quota,
    stat.cfs_period,
    stat.memory_current,
    stat.memory_max,
    stat.memory_events,
    stat.pids_current,
    stat.cgroup_events,
)


def test_v2_cpu_stat_has_usage_and_throttling() -> None:
    assert stat.cpu_stat(V2) == {"usage_usec": 30, "nr_periods": 5, "nr_throttled": 2, "throttled_usec": 700}


def test_without_the_cpu_controller_there_is_usage_alone() -> None:
    assert stat.cpu_stat(V2.split(b"nr_periods")[0]) == {"usage_usec": 30}


def test_v1_throttled_time_is_nanoseconds() -> None:
    assert stat.cpu_stat_v1(V1) == {"nr_periods": 5, "nr_throttled": 2, "throttled_usec": 700}


def test_a_missing_key_is_left_out_and_not_made_zero() -> None:
    assert stat.cpu_stat_v1(b"nr_periods 5\n") == {"nr_periods": 5}


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"10000 100000\n", {"quota_usec": 10000, "period_usec": 100000}),
        (b"max 100000\n", {"quota_usec": None, "period_usec": 100000}),
        (b"many 100000\n", None),
        (b"10000\n", None),
    ],
)
def test_cpu_max(data: bytes, found: stat.Values | None) -> None:
    assert stat.cpu_max(data) == found


@pytest.mark.parametrize(
    ("data", "found"), [(b"-1\n", {"quota_usec": None}), (b"5000\n", {"quota_usec": 5000}), (b"-2\n", None)]
)
def test_cfs_quota(data: bytes, found: stat.Values | None) -> None:
    assert stat.cfs_quota(data) == found


def test_single_values() -> None:
    assert stat.cfs_period(b"100000\n") == {"period_usec": 100000}
    assert stat.memory_current(b"4096\n") == {"memory_current": 4096}
    assert stat.memory_max(b"max\n") == {"memory_max": None}
    assert stat.memory_max(b"8192\n") == {"memory_max": 8192}
    assert stat.pids_current(b"3\n") == {"pids_current": 3}


def test_oom_kill_is_what_was_killed_not_what_nearly_was() -> None:
    assert stat.memory_events(b"low 0\nhigh 9\nmax 4\noom 3\noom_kill 2\noom_group_kill 1\n") == 2
    assert stat.memory_events(b"low 0\n") is None


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"populated 1\nfrozen 0\n", stat.Events(populated=True, frozen=False)),
        (b"populated 0\nfrozen 1\n", stat.Events(populated=False, frozen=True)),
        (b"populated 1\n", stat.Events(populated=True, frozen=False)),
        (b"frozen 1\n", None),
    ],
)
def test_cgroup_events(data: bytes, found: stat.Events | None) -> None:
    assert stat.cgroup_events(data) == found


@pytest.mark.parametrize("parse", PARSERS)
def test_gone_empty_or_cut_short_is_none(parse: Callable[[bytes | None], object]) -> None:
    assert parse(None) is None
    assert parse(b"") is None
    assert parse(b"populated 1\nfrozen 0\noom_kill 12") is None


@pytest.mark.parametrize("parse", PARSERS)
@given(
    data=st.binary()
    | st.lists(st.sampled_from([*V2.split(), b"\n", b" ", b"oom_kill", b"max"])).map(b" ".join)
)
def test_no_bytes_make_a_parser_raise(parse: Callable[[bytes | None], object], data: bytes) -> None:
    for text in (data, data + b"\n"):
        found = parse(text)
        if isinstance(found, dict):
            assert all(value is None or 0 <= value < 10**20 for value in found.values())


@given(usage=st.integers(0, 2**63), periods=st.integers(0, 2**63))
def test_counters_survive_the_round_trip(usage: int, periods: int) -> None:
    text = f"usage_usec {usage}\nnr_periods {periods}\n".encode()
    assert stat.cpu_stat(text) == {"usage_usec": usage, "nr_periods": periods}
