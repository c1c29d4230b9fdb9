"""What is remembered of a container besides its machine: when it began, and the history of its runs."""

from collections.abc import Mapping
from typing import Any

import msgspec

from supervisor.core.events import Effect, Event, LaunchFailed, Record
from supervisor.core.facts import stage
from supervisor.core.history import KEPT, Run, fold
from supervisor.core.machine import Machine
from supervisor.core.operator import Operator
from supervisor.core.readings import Reading


class Memory:
    """`began` is the latest run's start and, like all times here, seconds since the epoch."""

    def __init__(self) -> None:
        self.began: float | None = None
        self.launch_failure: str | None = None
        self.runs: tuple[Run, ...] = ()
        #: Up to which instant the times of its schedule have been dealt with.
        self.scheduled: float | None = None
        #: Who asked for what is being done in this step.
        self.operator: Operator | None = None
        self._packed: tuple[tuple[Run, msgspec.Raw], ...] = ()

    def note(
        self,
        before: Machine,
        after: Machine,
        event: Event,
        effects: tuple[Effect, ...],
        *,
        now: float,
        wall: float,
        reading: Reading | None = None,
    ) -> None:
        """Take in one step, made at `now` by the machine's clock and `wall` by the one on it.

        `reading` is the last of the run that was under way before it.
        """
        if isinstance(event, LaunchFailed) and effects:
            self.launch_failure = stage(event)
        for effect in effects:
            if isinstance(effect, Record):
                self.runs = fold(
                    self.runs,
                    effect.event,
                    effect.run,
                    dict(effect.fields),
                    wall,
                    operator=self.operator,
                    reading=reading if effect.event == "container.exited" else None,
                )
        self.operator = None
        if after.run != before.run:
            self.began = None
        if after.started_at is not None and after.started_at != before.started_at:
            self.began = wall - (now - after.started_at)
            self.launch_failure = None

    def hear(self, event: str, run: int, fields: Mapping[str, Any], wall: float) -> None:
        """Take in what another room recorded about a run."""
        self.runs = fold(self.runs, event, run, fields, wall)

    def content(self) -> dict[str, Any]:
        return {
            "began": self.began,
            "launch_failure": self.launch_failure,
            "runs": self._pack(),
            "scheduled": self.scheduled,
        }

    def _pack(self) -> list[msgspec.Raw]:
        """What became of a run that is over stays the same, and is spelled out once."""
        packed = {id(run): raw for run, raw in self._packed}
        self._packed = tuple(
            (run, packed.get(id(run)) or msgspec.Raw(msgspec.json.encode(run))) for run in self.runs
        )
        return [raw for _, raw in self._packed]

    def take_up(self, content: Any) -> None:
        """From what content() was; anything of another shape is left out."""
        match content:
            case {
                "began": float() | None as began,
                "launch_failure": str() | None as failure,
                "runs": list(runs),
            }:
                self.began, self.launch_failure = began, failure
                self.runs = runs_of(runs)
                scheduled = content.get("scheduled")
                self.scheduled = scheduled if isinstance(scheduled, float) else None


def runs_of(content: Any) -> tuple[Run, ...]:
    """The runs that content() held; those of another shape are left out."""
    found: list[Run] = []
    for each in content if isinstance(content, list) else ():
        try:
            found.append(msgspec.convert(each, Run))
        except (msgspec.ValidationError, RecursionError):
            continue
    return tuple(sorted(found, key=lambda run: run.run))[-KEPT:]
