"""Holds under churn: containers that end as soon as they are started, again and again, in numbers. Every run is
told once as started and once as ended, and none is forgotten between the last word of its launch and its end.
"""

from collections import Counter

import pytest

from tests.support.running import Supervise, shell

pytestmark = pytest.mark.kernel

RUNS = 40


def test_every_one_of_many_short_runs_is_told_from_start_to_end(supervise: Supervise) -> None:
    restart = {
        "policy": "always",
        "backoff": {"initial": "1ms", "factor": 1.0, "max": "1ms", "jitter": 0.0},
    }
    names = [f"short-{number}" for number in range(6)]
    running = supervise({name: shell("echo ran", restart=restart) for name in names})
    for name in names:
        running.until(lambda name=name: running.of(name)["run"] > RUNS, f"{name} has run {RUNS} times")  # type: ignore[misc]
    for name in names:
        running.done("stop", name)
    for name in names:
        started = Counter(one["run"] for one in running.events("container.started", name))
        ended = Counter(one["run"] for one in running.events("container.exited", name))
        assert started == ended
        assert set(started.values()) == {1}
        assert len(running.lines(name)) >= RUNS
