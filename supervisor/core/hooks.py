"""When a container's hooks are due: a pure fold over the records about it.

Laws:
- The same event fires at most once in `window` seconds; what falls within it is not made up for.
- `recovered` fires only after failed, backoff, oom or unhealthy, once the container has been well
  for `settle` seconds without one of them; a container that is stopped does not recover.
- Nothing fires from the records that hooks themselves make.

Times are of one clock, in seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

Trigger = Literal["failed", "backoff", "oom", "unhealthy", "throttled", "recovered"]
TRIGGERS: tuple[Trigger, ...] = get_args(Trigger)
#: What a container recovers from.
TROUBLE: frozenset[Trigger] = frozenset({"failed", "backoff", "oom", "unhealthy"})
#: What a record means, whatever its fields.
MEANING: Mapping[str, Trigger] = {
    "container.failed": "failed",
    "container.backoff": "backoff",
    "health.failed": "unhealthy",
    "memory.oom_kill": "oom",
    "cgroup.throttled": "throttled",
}
WELL = frozenset({"container.started", "container.ready", "health.recovered"})
OVER = frozenset({"container.exited", "container.launch_failed", "container.stopping"})


@dataclass(frozen=True, slots=True)
class Watch:
    """`fired` pairs an event with when it last was; `well_since` None: not well, or no trouble before."""

    fired: tuple[tuple[Trigger, float], ...] = ()
    troubled: bool = False
    well_since: float | None = None


def meant(event: str, fields: Mapping[str, Any]) -> Trigger | None:
    """The hook that a record is for."""
    if event == "container.exited" and fields.get("oom"):
        return "oom"
    return MEANING.get(event)


def hear(
    watch: Watch,
    event: str,
    fields: Mapping[str, Any],
    now: float,
    window: float,
    *,
    ready_at_start: bool = True,
) -> tuple[Watch, Trigger | None]:
    """The watch after a record, and the hook that is due for it.

    `ready_at_start`: the container declares no readiness, so one that is started is well.
    """
    well = event in WELL and (ready_at_start or event != "container.started")
    trigger = meant(event, fields)
    if trigger in TROUBLE:
        watch = replace(watch, troubled=True, well_since=None)
    elif event in OVER:
        watch = replace(watch, well_since=None)
    elif event == "container.stopped":
        watch = replace(watch, troubled=False, well_since=None)
    elif well and watch.troubled and watch.well_since is None:
        watch = replace(watch, well_since=now)
    return (watch, None) if trigger is None else _fire(watch, trigger, now, window)


def due(watch: Watch, settle: float) -> float | None:
    """When the container has recovered if nothing comes between."""
    return None if watch.well_since is None else watch.well_since + settle


def settled(watch: Watch, now: float, settle: float, window: float) -> tuple[Watch, Trigger | None]:
    """The watch once time has passed, and `recovered` if that is due."""
    at = due(watch, settle)
    if at is None or now < at:
        return watch, None
    return _fire(replace(watch, troubled=False, well_since=None), "recovered", now, window)


def _fire(watch: Watch, trigger: Trigger, now: float, window: float) -> tuple[Watch, Trigger | None]:
    fired = dict(watch.fired)
    if trigger in fired and now - fired[trigger] < window:
        return watch, None
    fired[trigger] = now
    return replace(watch, fired=tuple(fired.items())), trigger
