"""What is remembered of a container besides its machine: when it began, how its runs ended."""

from collections import deque
from typing import Any

from supervisor.core.events import Effect, Event, LaunchFailed, Record
from supervisor.core.facts import stage
from supervisor.core.machine import Machine

#: Runs whose end is remembered for `inspect`; the records have them all.
REMEMBERED = 20
ENDS = frozenset({"container.exited", "container.launch_failed"})


class Memory:
    """`began` is the latest run's start and, like all times here, seconds since the epoch."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.launch_failure: str | None = None
        self.runs: deque[dict[str, Any]] = deque(maxlen=REMEMBERED)

    def note(
        self,
        before: Machine,
        after: Machine,
        event: Event,
        effects: tuple[Effect, ...],
        *,
        now: float,
        wall: float,
    ) -> None:
        """Take in one step, made at `now` by the machine's clock and `wall` by the one on it."""
        if isinstance(event, LaunchFailed) and effects:
            self.launch_failure = stage(event)
        for effect in effects:
            if isinstance(effect, Record) and effect.event in ENDS:
                run = {"run": effect.run, "event": effect.event, "started_at": self.began, "ended_at": wall}
                self.runs.append(run | dict(effect.fields))
        if after.run != before.run:
            self.began = None
        if after.started_at is not None and after.started_at != before.started_at:
            self.began = wall - (now - after.started_at)
            self.launch_failure = None

    def content(self) -> dict[str, Any]:
        return {"began": self.began, "launch_failure": self.launch_failure, "runs": list(self.runs)}

    def take_up(self, content: Any) -> None:
        """From what content() was; anything of another shape is left out."""
        match content:
            case {
                "began": float() | None as began,
                "launch_failure": str() | None as failure,
                "runs": list(runs),
            }:
                self.began, self.launch_failure = began, failure
                self.runs.extend(run for run in runs if isinstance(run, dict))
