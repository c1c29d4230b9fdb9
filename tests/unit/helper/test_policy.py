"""What the daemon may ask is decided by request and phase alone; whatever is not allowed is denied."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.helper.policy import ENDING, IDLE, LAUNCHING, LIVE, objection
from supervisor.helper.protocol import REQUESTS, Request

PHASES = st.sampled_from([IDLE, LAUNCHING, LIVE, ENDING])
RUNS = st.integers(0, 5)


@given(PHASES, RUNS, RUNS)
def test_a_launch_is_never_granted_while_anything_lives_or_for_a_run_that_was(
    phase: str, asked: int, last: int
) -> None:
    granted = not objection(Request("launch", "web", asked), phase, last)
    assert granted == (phase == IDLE and asked > last)


@given(PHASES, RUNS, RUNS)
def test_a_signal_reaches_only_the_live_run_it_names(phase: str, asked: int, last: int) -> None:
    granted = not objection(Request("signal", "web", asked, 15), phase, last)
    assert granted == (phase == LIVE and asked == last)


@given(PHASES, RUNS, RUNS)
def test_a_kill_reaches_only_a_run_that_has_processes(phase: str, asked: int, last: int) -> None:
    granted = not objection(Request("kill", "web", asked), phase, last)
    assert granted == (phase != IDLE and asked == last)


@given(PHASES)
def test_only_a_container_at_rest_is_removed(phase: str) -> None:
    assert (not objection(Request("remove", "web"), phase, 1)) == (phase == IDLE)


@pytest.mark.parametrize("do", sorted(set(REQUESTS) - {"notify", "exit", "reload"}))
def test_a_container_that_root_did_not_declare_is_out_of_reach(do: str) -> None:
    assert "declared" in objection(Request(do, "../../etc", 1, 9), None, 0)


@given(PHASES, RUNS, RUNS)
def test_a_container_declared_no_more_can_be_ended_and_not_launched(
    phase: str, asked: int, last: int
) -> None:
    assert "declared" in objection(Request("launch", "web", asked), phase, last, retired=True)
    for do in ("signal", "kill", "remove"):
        request = Request(do, "web", asked)
        assert objection(request, phase, last, retired=True) == objection(request, phase, last)
