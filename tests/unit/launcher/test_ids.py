"""Ids are shared out so that no two containers have one in common, the same way at every start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.launcher.ids import EACH, allocate

NAMES = st.lists(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), unique=True, max_size=40)


@given(NAMES, st.integers(1, 1 << 20))
def test_no_two_containers_share_an_id_and_all_are_of_the_pool(names: list[str], first: int) -> None:
    given = allocate(names, first, 40 * EACH, "/run/supervisor")
    assert given.keys() == set(names)
    assert len(set(given.values())) == len(names)
    assert all(first <= one and one + EACH <= first + 40 * EACH for one in given.values())
    assert all((one - first) % EACH == 0 for one in given.values())


@given(NAMES)
def test_the_order_of_the_files_changes_nothing(names: list[str]) -> None:
    pool = (524288, 1878523904)
    assert allocate(names, *pool, "x") == allocate(reversed(names), *pool, "x")


def test_another_instance_gives_the_same_name_other_ids() -> None:
    pool = (524288, 1878523904)
    assert allocate(["web"], *pool, "/run/one") != allocate(["web"], *pool, "/run/two")


def test_a_pool_that_is_too_small_is_an_error() -> None:
    with pytest.raises(ValueError, match="room for 1"):
        allocate(["one", "two"], 100000, EACH, "")


@given(NAMES, NAMES)
def test_under_a_running_supervisor_names_keep_their_ids_whoever_comes_and_goes(
    before: list[str], after: list[str]
) -> None:
    pool = (1000, 90 * EACH)  # small, so that names meet
    held = allocate(before, *pool, "x")
    given = allocate(after, *pool, "x", held)
    assert given.keys() == set(after)
    assert all(given[name] == held[name] for name in after if name in held)
    # Nor does anybody get the ids of one that is not asked about: it may still be there.
    others = {first for name, first in held.items() if name not in given}
    assert len({*given.values(), *others}) == len(given) + len(others)
