"""The brake lets so many through in any span of time, and gives everybody else a place in a queue."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.brake import fresh, release, rest, take

rates = st.floats(0.1, 1000)
gaps = st.lists(st.floats(0, 3), min_size=1, max_size=80)


@given(rates, gaps)
def test_in_no_span_more_go_than_its_seconds_allow_and_one_burst(rate: float, gaps: list[float]) -> None:
    brake, now, went = fresh(rate, 0.0), 0.0, []
    for gap in gaps:
        now += gap
        brake, wait = take(brake, now)
        assert wait >= 0
        went.append(now + wait)
    assert went == sorted(went)
    for first in range(len(went)):
        for last in range(first, len(went)):
            span = went[last] - went[first]
            assert last - first + 1 <= rate * span + max(1.0, rate) + 1 + 1e-6


@given(rates)
def test_one_at_a_time_is_never_held(rate: float) -> None:
    brake, now = fresh(rate, 0.0), 0.0
    for _ in range(20):
        brake, wait = take(brake, now)
        assert wait == 0.0
        now += 1.001 / rate


def test_it_acts_from_the_first_it_holds_until_it_has_let_go() -> None:
    brake = fresh(2.0, 0.0)
    waits = []
    for _ in range(6):
        brake, wait = take(brake, 10.0)
        waits.append(wait)
    assert waits == [0.0, 0.0, 0.5, 1.0, 1.5, 2.0]
    assert (brake.since, brake.held) == (10.0, 4)
    assert rest(brake, 10.0) == 2.5
    assert rest(brake, 12.5) == 0.0
    assert (release(brake, 12.5).since, release(brake, 12.5).held) == (None, 0)
