"""Holds: one warning, then at most one a minute; the cap named is above the present one and within the machine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.readings import Reading
from supervisor.monitor.leaf import Counters
from supervisor.monitor.throttle import Throttle, sufficient

CAPPED = Reading(quota_usec=10_000, period_usec=100_000)


def test_the_first_interval_above_warns_and_the_next_minute_is_counted() -> None:
    throttle = Throttle()
    assert [throttle.due(float(second), above=True) for second in range(122)] == [1] + [0] * 59 + [60] + [
        0
    ] * 59 + [60, 0]


def test_swinging_about_the_threshold_is_not_a_warning_a_swing() -> None:
    throttle = Throttle()
    told = [throttle.due(float(second), above=second % 2 == 0) for second in range(61)]
    assert (told[0], sum(told[1:60]), told[60]) == (1, 0, 30)


def test_below_the_threshold_nothing_is_said() -> None:
    assert not any(Throttle().due(float(second), above=False) for second in range(200))


@pytest.mark.parametrize(
    ("used", "cpus", "text"),
    [
        (Counters(100_000, 10, 10, 250_000), 2, "35%"),
        (Counters(100_000, 10, 10, 900_000), 2, "100%"),
        (Counters(100_000, 10, 10, 7_000_000), 2, "200%"),
        (Counters(100_001, 10, 10, 250_000), 2, "36%"),
        (Counters(15_000, 10, 1, 20_000), 2, "11%"),  # a burst: the average is below the cap
    ],
)
def test_sufficient_is_usage_and_throttled_time_over_wall_time(used: Counters, cpus: int, text: str) -> None:
    assert sufficient(used, CAPPED, 1.0, cpus) == text


@given(
    st.tuples(*[st.integers(0, 2**63)] * 4),
    st.floats(0.001, 1e6),
    st.integers(1, 512),
    st.integers(1000, 50_000),
)
def test_sufficient_is_above_the_cap_and_within_the_machine(
    used: tuple[int, int, int, int], elapsed: float, cpus: int, quota: int
) -> None:
    reading = Reading(quota_usec=quota, period_usec=100_000)
    percent = int(sufficient(Counters(*used), reading, elapsed, cpus).removesuffix("%"))
    assert quota / 1000 < percent <= 100 * cpus
