"""Holds: the history is folded from records alone, keeps the newest runs, and says in sentences what became of each."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core import explain
from supervisor.core.history import KEPT, NOTED, Run, Runs, fold
from supervisor.core.operator import Operator
from supervisor.core.readings import Reading

EVENTS = (
    "container.starting",
    "container.started",
    "container.adopted",
    "container.ready",
    "container.stopping",
    "container.killing",
    "container.exited",
    "container.launch_failed",
    "container.backoff",
    "container.failed",
    "container.stopped",
    "health.failed",
    "cgroup.throttled",
    "cgroup.stat",
)


def told(*records: tuple[str, int, dict[str, Any]], **more: Any) -> Runs:
    runs: Runs = ()
    for at, (event, run, fields) in enumerate(records, 1):
        runs = fold(runs, event, run, fields, float(at), **more)
    return runs


def a_run(number: int, **exited: Any) -> tuple[tuple[str, int, dict[str, Any]], ...]:
    end = {"code": None, "signal": None, "oom": False, "reason": "exit", "decision": "restarted", **exited}
    return (
        ("container.starting", number, {"why": "boot"}),
        ("container.started", number, {"pid": 7}),
        ("container.exited", number, end),
        ("container.backoff", number, {"delay_s": 0.1, "failures": number}),
    )


def test_a_run_has_its_times_its_end_and_what_followed() -> None:
    (run,) = told(*a_run(1, code=3))
    assert (run.asked_at, run.started_at, run.ended_at) == (1.0, 2.0, 3.0)
    assert run.end is not None
    assert (run.end.code, run.end.reason) == (3, "exit")
    assert run.follow is not None
    assert run.follow.event == "container.backoff"
    assert explain.ending(run) == "exit code 3"


def test_the_operator_who_asked_for_a_restart_ended_one_run_and_began_the_next() -> None:
    who = Operator(1000, 42)
    runs = told(*a_run(1)[:2])
    runs = fold(runs, "container.stopping", 1, {"by": "operator", "then": "restart"}, 3.0, operator=who)
    runs = fold(runs, "container.exited", 1, {"reason": "operator", "signal": 15}, 4.0)
    runs = fold(runs, "container.starting", 2, {"why": "asked by operator"}, 4.0)
    assert runs[0].stopper == runs[1].starter == who
    assert explain.ending(runs[0]) == "stopped by an operator (uid 1000, pid 42)"
    assert explain.beginning(runs[1]) == "asked by operator (uid 1000, pid 42)"


def test_restarts_of_the_last_minutes_are_counted_and_the_last_end_is_named() -> None:
    oom = {"signal": 9, "oom": True, "reason": "oom"}
    records = [record for number in (1, 2, 3) for record in a_run(number, **oom)]
    runs = told(*records)
    runs = fold(runs, "container.exited", 3, dict(oom), 12.0, reading=Reading(memory_max=64 << 20))
    assert explain.summary("web", "running", "", runs, 100.0) == (
        "web restarted 3 times in the last 10 minutes: killed by SIGKILL, out of memory (memory.max 64MiB)"
    )
    assert explain.summary("web", "running", "", (*runs, Run(4, started_at=5000.0)), 9000.0) == (
        "web has been running for 67 min"
    )


def test_a_throttled_run_names_the_cap_that_would_have_done() -> None:
    reading = Reading(
        usage_usec=1_000_000,
        nr_periods=100,
        nr_throttled=43,
        throttled_usec=1_300_000,
        quota_usec=10_000,
        period_usec=100_000,
    )
    run = Run(1, started_at=0.0)
    assert explain.slow((run,), reading, 10.0, 4) == (
        "throttled in 43 % of periods: cpu.max 10 % would have had to be 23 %"
    )
    assert explain.slow((run,), Reading(), 10.0, 4) is None


def test_a_kill_by_an_operator_explains_the_death_by_that_signal_only() -> None:
    sent = ("container.signalled", 1, {"signal": 9, "operator": {"uid": 0, "pid": 5}})
    start = a_run(1)[:2]
    killed, ended = (
        told(*start, sent, ("container.exited", 1, {"signal": signal, "reason": "signal"}))
        for signal in (9, 11)
    )
    assert explain.ending(killed[0]) == "killed by SIGKILL, sent by an operator (uid 0, pid 5)"
    assert explain.ending(ended[0]) == "killed by SIGSEGV"


def test_what_the_supervisor_knew_when_it_ended_a_run_is_told() -> None:
    start = a_run(1)[:2]
    unhealthy = told(
        *start,
        ("container.stopping", 1, {"by": "health", "why": "unhealthy: status 500"}),
        ("container.exited", 1, {"reason": "health", "code": 0}),
    )
    assert explain.ending(unhealthy[0]) == "ended because it was unhealthy (unhealthy: status 500)"
    changed = told(
        *start,
        ("container.reconfigured", 1, {"how": "restarted", "keys": ("env.LANG",)}),
        ("container.stopping", 1, {"by": "configuration"}),
        ("container.exited", 1, {"reason": "configuration", "code": 0}),
    )
    assert explain.ending(changed[0]) == "stopped because its configuration changed (env.LANG)"


def test_the_same_thing_again_is_counted_not_kept_again() -> None:
    runs = told(*a_run(1)[:2], *[("cgroup.throttled", 1, {"sufficient": "20%"})] * 5)
    (happening,) = runs[0].happenings
    assert (happening.times, happening.at) == (5, 7.0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(EVENTS),
            st.integers(0, 40),
            st.dictionaries(st.sampled_from(["why", "code", "signal", "oom", "cpu"]), st.none() | st.integers(0, 9)),
        ),
        max_size=200,
    )
)  # fmt: skip
def test_whatever_is_told_the_history_is_bounded_ordered_and_can_be_put_in_words(
    records: list[tuple[str, int, dict[str, Any]]],
) -> None:
    runs = told(*records)
    numbers = [run.run for run in runs]
    assert len(runs) <= KEPT
    assert numbers == sorted(set(numbers))
    for run in runs:
        assert len(run.happenings) <= NOTED
        assert explain.ending(run)
        assert explain.beginning(run)
    assert explain.summary("web", "running", "", runs, 1000.0).startswith("web ")
