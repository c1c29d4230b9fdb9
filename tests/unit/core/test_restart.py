"""Restart policy: who is restarted, after how long, and when it ends."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.backoff import Backoff, delay
from supervisor.core.restart import Decision, History, Outcome, decide, schedule
from supervisor.core.spec import Limit, Policy, Restart

GOOD, BAD, SHOT = Outcome(1.0, code=0), Outcome(1.0, code=1), Outcome(1.0, signal=9)
EATEN, UNSEEN, UNBORN = Outcome(1.0, signal=9, oom=True), Outcome(1.0), Outcome(launched=False)

backoffs = st.builds(
    Backoff,
    initial=st.floats(0, 60),
    factor=st.floats(1, 10),
    max=st.floats(0, 3600),
    jitter=st.floats(0, 1),
)
unit = st.floats(0, 1, exclude_max=True)


def after(restart: Restart, *outcomes: Outcome, every: float = 1.0) -> Decision:
    decision = Decision("again", History(), "")
    for index, outcome in enumerate(outcomes):
        decision = decide(restart, outcome, decision.history, index * every)
    return decision


@pytest.mark.parametrize(
    ("policy", "outcome", "verdict"),
    [
        ("never", GOOD, "leave"),
        ("never", BAD, "leave"),
        ("never", UNBORN, "leave"),
        ("on-failure", GOOD, "leave"),
        *(("on-failure", bad, "again") for bad in (BAD, SHOT, EATEN, UNSEEN, UNBORN)),
        *((policy, end, "again") for policy in ("always", "unless-stopped") for end in (GOOD, BAD, UNBORN)),
    ],
)
def test_the_policy_decides(policy: Policy, outcome: Outcome, verdict: str) -> None:
    assert after(Restart(policy), outcome).verdict == verdict


def test_a_declared_success_code_is_no_failure() -> None:
    assert after(Restart("on-failure", success=(0, 3)), Outcome(1.0, code=3)).verdict == "leave"


def test_an_oom_kill_is_a_failure_whatever_the_exit_code() -> None:
    restart = Restart("on-failure", success=(0, 137))
    assert after(restart, Outcome(1.0, code=137, oom=True)).verdict == "again"


def test_more_failures_than_the_limit_within_its_time_give_up() -> None:
    restart = Restart("always", limit=Limit(2, 60.0))
    assert after(restart, BAD, BAD).verdict == "again"
    gone = after(restart, BAD, BAD, BAD)
    assert gone.verdict == "give-up"
    assert gone.why == "3 failures within 60 s, more than the 2 it is allowed; the last: exit code 1"


def test_failures_spread_wider_than_the_limit_never_give_up() -> None:
    assert after(Restart("always", limit=Limit(2, 60.0)), *[BAD] * 50, every=31.0).verdict == "again"


def test_successes_do_not_count_towards_the_limit_but_lengthen_the_delay() -> None:
    decision = after(Restart("always", limit=Limit(2, 60.0)), *[GOOD] * 9)
    assert (decision.verdict, decision.history) == ("again", History(restarts=9))


def test_a_long_run_clears_the_history_and_its_own_end_counts_as_the_first() -> None:
    decision = after(Restart("always", reset_after=10.0), BAD, BAD, Outcome(10.0, code=1))
    assert (decision.history.restarts, decision.history.failures) == (1, 1)


def test_a_failed_launch_is_no_long_run_even_when_every_run_is_long_enough() -> None:
    assert after(Restart("always", reset_after=0.0), UNBORN, UNBORN).history.restarts == 2


@given(st.integers(1, 5), st.integers(0, 200))
def test_the_history_of_a_container_that_fails_for_ever_stays_small(limit: int, times: int) -> None:
    restart = Restart("always", limit=Limit(limit, 1000.0))
    assert len(after(restart, *[BAD] * times, every=0.0).history.times) <= limit + 1
    assert after(Restart("always"), *[BAD] * times).history.times == ()


@given(backoffs, st.integers(1, 100_000), unit)
def test_a_delay_is_never_negative_and_exceeds_the_maximum_by_at_most_its_jitter(
    backoff: Backoff, n: int, u: float
) -> None:
    assert 0 <= delay(n, backoff, u) <= backoff.max * (1 + backoff.jitter)


@given(backoffs)
def test_delays_without_jitter_never_fall(backoff: Backoff) -> None:
    delays = [delay(n, backoff) for n in range(1, 60)]
    assert all(one <= two for one, two in itertools.pairwise(delays))


@given(backoffs, st.integers(1, 50), unit)
def test_jitter_moves_a_delay_by_at_most_its_share(backoff: Backoff, n: int, u: float) -> None:
    plain = delay(n, backoff)
    assert abs(delay(n, backoff, u) - plain) <= plain * (backoff.jitter + 1e-12)


def test_a_delay_is_at_most_its_maximum_after_however_many_attempts() -> None:
    retry = Backoff(initial=0.5, factor=2, max=30, jitter=0.25)
    assert [delay(n, retry) for n in (1, 2, 3, 10, 10_000)] == [0.5, 1, 2, 30, 30]
    assert (delay(1, retry, 0.0), delay(1, retry, 1.0)) == (0.375, 0.625)


def test_the_schedule_of_the_default_policy_doubles_up_to_its_maximum() -> None:
    assert schedule(Restart("on-failure"), 11) == pytest.approx(
        (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0)
    )


def test_the_schedule_ends_where_the_limit_gives_up() -> None:
    assert len(schedule(Restart("always", limit=Limit(5, 60.0)), 100)) == 5
    assert schedule(Restart("never"), 3) == ()
