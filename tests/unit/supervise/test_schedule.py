"""Holds: times come as cron has them, each once, also where clocks are changed; what is late is told from what is missed."""

from datetime import datetime
from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.schedule import GRACE, MOST, due
from supervisor.supervise.cron import following, told

BERLIN = "Europe/Berlin"
CRONS = ("0 3 * * *", "30 2 * * *", "*/5 * * * *", "0 * * * *", "15 1-3 * * *", "0 0 1 * *", "0 12 * * MON")


def at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def times(cron: str, start: str, count: int) -> list[str]:
    found: list[str] = []
    now = at(start)
    while len(found) < count and (then := following(cron, BERLIN, now)) is not None:
        found.append(told(then, BERLIN))
        now = then
    return found


def test_a_daily_time_is_local_time_in_summer_and_winter() -> None:
    assert times("0 3 * * *", "2026-10-23T12:00:00+02:00", 3) == [
        "2026-10-24T03:00:00+02:00",
        "2026-10-25T03:00:00+01:00",
        "2026-10-26T03:00:00+01:00",
    ]


def test_a_time_that_comes_twice_in_autumn_counts_once() -> None:
    assert times("30 2 * * *", "2026-10-24T12:00:00+02:00", 2) == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-26T02:30:00+01:00",
    ]
    # Asked between the two half past twos: the first has been, the second does not count.
    assert times("30 2 * * *", "2026-10-25T02:15:00+01:00", 1) == ["2026-10-26T02:30:00+01:00"]


def test_a_time_that_spring_leaves_out_comes_right_after_the_change() -> None:
    assert times("30 2 * * *", "2026-03-28T12:00:00+01:00", 2) == [
        "2026-03-29T03:00:00+02:00",
        "2026-03-30T02:30:00+02:00",
    ]


@given(st.sampled_from(CRONS), st.integers(1_700_000_000, 1_900_000_000), st.sampled_from([BERLIN, "UTC"]))
def test_the_next_time_is_later_and_none_lies_between(cron: str, now: int, zone: str) -> None:
    then = following(cron, zone, float(now))
    assert then is not None
    assert then > now
    assert following(cron, zone, (now + then) / 2) == then


@given(
    st.sampled_from(CRONS),
    st.integers(1_700_000_000, 1_900_000_000),
    st.lists(st.floats(0.1, 7200), max_size=20),
)
def test_whenever_one_looks_every_time_is_met_or_missed_once(
    cron: str, start: int, steps: list[float]
) -> None:
    since, count = float(start), 0
    for step in steps:
        found = due(partial(following, cron, BERLIN), since, since + step)
        count += found.missed + (found.now is not None)
        assert found.now is None or since < found.now <= since + step <= found.now + GRACE
        since += step
    expected, then = 0, following(cron, BERLIN, float(start))
    while then is not None and then <= since:
        expected, then = expected + 1, following(cron, BERLIN, then)
    assert count == expected


def test_a_long_absence_is_counted_in_bounded_time() -> None:
    now = at("2026-06-01T12:00:10+00:00")
    found = due(partial(following, "* * * * *", "UTC"), now - 10 * 365 * 86400.0, now)
    assert found.now == now - 10
    assert MOST <= found.missed <= MOST + 2
