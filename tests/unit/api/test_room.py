"""Who gives way when there is no more room: one who keeps us waiting, never one we owe an answer; never root's turn."""

import math
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from supervisor.api.limits import Limits
from supervisor.api.room import Full, room_for

LIMITS = Limits(everybody=6, each=3)


class Guest(NamedTuple):
    uid: int
    waiting_since: float = math.inf


def test_there_is_room_until_a_user_has_as_many_as_one_may_have() -> None:
    assert room_for(7, [Guest(7, 1.0), Guest(7)], LIMITS) is None
    assert room_for(7, [Guest(7), Guest(7), Guest(7)], LIMITS) == Full()
    assert room_for(8, [Guest(7), Guest(7), Guest(7)], LIMITS) is None


def test_of_ones_own_the_one_that_has_kept_us_waiting_longest_leaves() -> None:
    assert room_for(7, [Guest(7), Guest(7, 2.0), Guest(7, 1.0), Guest(8, 0.0)], LIMITS) == Guest(7, 1.0)


def test_among_all_the_user_with_the_most_connections_gives_way() -> None:
    there = [Guest(7, 1.0), Guest(8, 2.0), Guest(8, 3.0), Guest(9, 0.5), Guest(9), Guest(8)]
    assert room_for(10, there, LIMITS) == Guest(8, 2.0)


def test_root_comes_in_however_many_there_are() -> None:
    assert room_for(0, [Guest(uid) for uid in (7, 7, 7, 8, 8, 8, 9)], LIMITS) is None


def test_root_too_has_its_limit() -> None:
    assert room_for(0, [Guest(0)] * 3, LIMITS) == Full()


guests = st.lists(st.builds(Guest, st.integers(0, 3), st.just(math.inf) | st.floats(0, 9)), max_size=12)


@given(guests, st.integers(0, 4))
def test_nobody_leaves_whom_an_answer_is_owed_nor_root_for_others(there: list[Guest], uid: int) -> None:
    leaver = room_for(uid, there, LIMITS)
    if isinstance(leaver, Guest):
        assert leaver.waiting_since < math.inf
        assert leaver.uid == uid or leaver.uid != 0
