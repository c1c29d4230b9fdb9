"""What N containers take of file descriptors is known before the first is launched."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.kernel import descriptors

COUNTS = st.integers(0, 100_000)
LIMITS = st.integers(16, 1 << 20)


@given(COUNTS, COUNTS, LIMITS, st.booleans())
def test_what_is_not_refused_fits(containers: int, notifying: int, most: int, memory: bool) -> None:
    least = descriptors.LEAST - 1 - (not memory)
    fits = containers * least + notifying + descriptors.for_logs(most) < most
    assert fits or descriptors.objection(containers, notifying, most, memory=memory)


@given(COUNTS, LIMITS)
def test_who_has_room_for_all_is_never_refused(containers: int, most: int) -> None:
    assert descriptors.scarce(containers, most) or not descriptors.objection(containers, 0, most, memory=True)


def test_five_thousand_fit_into_twenty_thousand_where_memory_is_not_counted() -> None:
    assert descriptors.scarce(5000, 20000)
    assert not descriptors.objection(5000, 0, 20000, memory=False)


@given(st.integers(1, 100_000))
def test_the_limit_that_a_refusal_names_is_enough(containers: int) -> None:
    text = descriptors.objection(containers, 0, 256, memory=True)
    named = int(text.partition("ulimit -Hn ")[2].partition("`")[0])
    assert not descriptors.objection(containers, 0, named, memory=True)
