"""A machine put aside comes back as it was, on another clock; anything else is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.events import SetTimer
from supervisor.core.machine import VERSION, Exit, Machine, adopt, laid_down, restore, resume, snapshot
from supervisor.core.restart import History
from supervisor.core.spec import Container, Stop

SPEC = Container("a", "/", ("x",))
BUSY = Machine(
    state="backoff",
    run=7,
    restarts=6,
    history=History(3, 2, (98.0, 99.0)),
    timer=11,
    due=101.5,
    last=Exit(None, 9, True, "oom"),
    reason="policy always: it ran out of memory",
)


def back(data: Any, then: float) -> Machine:
    return restore(SPEC, data, then)


def test_a_snapshot_restores_to_the_same_machine() -> None:
    assert back(snapshot(BUSY, 100.0), 100.0) == BUSY


def test_one_that_ended_while_nobody_kept_it_rests_after_its_last_run() -> None:
    running = Machine(state="running", run=3, pid=5, started_at=60.0, ready=True)
    for last in (2, 3, 4):
        there = back(laid_down(snapshot(running, 100.0), last), 100.0)
        assert (there.state, there.by, there.run, there.pid) == (
            "stopped",
            "configuration",
            max(3, last),
            None,
        )


def test_times_are_carried_to_a_clock_that_began_elsewhere() -> None:
    running = Machine(state="running", run=1, pid=5, started_at=60.0, history=History(1, 1, (90.0,)))
    there = back(snapshot(running, 100.0), 5000.0)
    assert (there.started_at, there.history.times) == (4960.0, (4990.0,))


def test_a_timer_is_armed_again_for_what_is_left_of_it() -> None:
    assert resume(back(snapshot(BUSY, 100.0), 20.0), 20.5) == (SetTimer(11, 1.0),)
    assert resume(back(snapshot(BUSY, 100.0), 20.0), 99.0) == (SetTimer(11, 0.0),)
    assert resume(Machine(), 0.0) == ()


def test_the_policy_is_the_one_of_the_files_not_of_the_snapshot() -> None:
    assert (
        restore(Container("a", "/", ("x",), stop=Stop("SIGINT")), snapshot(BUSY, 0.0), 0.0).stop.signal
        == "SIGINT"
    )


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(json_values)
def test_what_is_no_snapshot_is_a_value_error_and_nothing_else(data: Any) -> None:
    with pytest.raises(ValueError, match=r"snapshot|version"):
        back(data, 0.0)


@given(st.sampled_from(sorted(snapshot(BUSY, 100.0))), json_values)
def test_a_damaged_snapshot_is_refused_or_a_machine(key: str, value: Any) -> None:
    try:
        machine = back({**snapshot(BUSY, 100.0), key: value}, 100.0)
    except ValueError:
        return
    assert snapshot(machine, 100.0)["version"] == VERSION


def test_a_later_run_that_the_helper_knows_is_taken_over() -> None:
    for state in ("waiting", "stopped", "backoff", "running"):
        taken = adopt(BUSY._replace(state=state), 9)
        assert (taken.state, taken.run, taken.due) == ("starting", 9, None)
    assert adopt(BUSY._replace(state="stopping", wanted="stop"), 9).state == "stopping"


def test_an_earlier_run_or_the_run_under_way_is_not_taken_over() -> None:
    running = BUSY._replace(state="running")
    assert adopt(running, 7) is running
    assert adopt(running, 6) is running
    assert adopt(BUSY, 7).state == "starting"
