"""Holds: a hook is due once in its window, and recovery is told once, after trouble and a quiet time."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.hooks import TROUBLE, Trigger, Watch, hear, settled

WINDOW, SETTLE = 60.0, 10.0
EVENTS = (
    "container.backoff", "container.failed", "memory.oom_kill", "cgroup.throttled", "container.started",
    "container.ready", "container.exited", "container.stopped", "container.starting", "cgroup.stat",
    "health.failed", "health.recovered",
)  # fmt: skip


Told = tuple[float, str, dict[str, Any]]


def play(*records: Told, until: float = 0.0) -> list[tuple[float, Trigger]]:
    """What fires, in a world where somebody looks whenever recovery is due."""
    watch, fired = Watch(), list[tuple[float, Trigger]]()
    for now, event, fields in [*records, (until, "", {})]:
        if watch.well_since is not None and watch.well_since + SETTLE <= now:
            at = watch.well_since + SETTLE
            watch, trigger = settled(watch, at, SETTLE, WINDOW)
            fired += [(at, trigger)] if trigger else []
        watch, trigger = hear(watch, event, fields, now, WINDOW)
        fired += [(now, trigger)] if trigger else []
    return fired


def test_an_event_fires_once_in_its_window() -> None:
    moments: list[Told] = [(float(now), "container.backoff", {}) for now in (0, 1, 59, 60, 61, 130)]
    assert play(*moments) == [(0.0, "backoff"), (60.0, "backoff"), (130.0, "backoff")]


def test_recovery_is_told_after_a_quiet_time_and_only_after_trouble() -> None:
    started: Told = (1.0, "container.started", {})
    assert play(started, until=99.0) == []
    trouble: Told = (0.0, "container.backoff", {})
    assert play(trouble, started, until=10.9) == [(0.0, "backoff")]
    assert play(trouble, started, until=11.0) == [(0.0, "backoff"), (11.0, "recovered")]
    again: Told = (5.0, "container.exited", {})
    assert play(trouble, started, again, until=99.0) == [(0.0, "backoff")]
    stopped: Told = (5.0, "container.stopped", {})
    assert play(trouble, started, stopped, (6.0, "container.started", {}), until=99.0) == [(0.0, "backoff")]


def test_one_that_declares_readiness_is_well_once_it_is_ready() -> None:
    watch = Watch(troubled=True)
    for event, since in (("container.started", None), ("container.ready", 3.0)):
        watch, _ = hear(watch, event, {}, 3.0, WINDOW, ready_at_start=False)
        assert watch.well_since == since


def test_out_of_memory_is_told_by_the_kernel_or_by_the_end_and_once() -> None:
    killed: Told = (0.0, "memory.oom_kill", {"count": 1})
    assert play(killed, (0.1, "container.exited", {"oom": True})) == [(0.0, "oom")]
    assert play((0.1, "container.exited", {"oom": True})) == [(0.1, "oom")]
    assert play((0.1, "container.exited", {"oom": False})) == []


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.sampled_from(EVENTS)), max_size=60))
def test_windows_hold_and_recoveries_follow_trouble(steps: list[tuple[float, str]]) -> None:
    now, records = 0.0, list[Told]()
    for pause, event in steps:
        now += pause
        records.append((now, event, {}))
    fired = play(*records, until=now + SETTLE)
    for trigger in {each for _, each in fired}:
        times = [at for at, each in fired if each == trigger]
        assert all(later - earlier >= WINDOW for earlier, later in pairwise(times))
    for at, trigger in fired:
        if trigger == "recovered":
            assert any(each in TROUBLE and before < at for before, each in fired)
