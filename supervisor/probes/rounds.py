"""Probes that are made again and again: until a run is ready, and for as long as it is to be well.

Laws:
- Health is looked at once it is ready, every `interval` from one beginning to the next, whatever other containers do; a
  probe that is not over by then holds up the next of the same container alone, and one that cannot be ended is
  a failure each time.
- What nobody can tell is no failure of the container.
"""

from collections.abc import Awaitable, Callable

import trio

from supervisor.core.spec import Health
from supervisor.probes.ports import Helper, Told

#: Seconds between two looks at what is not ready yet: the first wait, by how much it grows, and the longest.
_FIRST, _GROWTH, _LONGEST = 0.1, 1.5, 1.0
#: Seconds over which the first looks at containers that begin together are spread, at most.
SPREAD = 1.0


async def until_ready(name: str, run: int, helper: Helper, told: Told) -> None:
    """By a probe of the kind "ready"."""
    delay = _FIRST
    while True:
        await helper.over(name, "ready")
        why = await helper.probe(name, run, "ready")
        if why == "":
            told.ready(name, run)
            return
        if why is not None:
            told.unready(name, run, why)
        await trio.sleep(delay)
        delay = min(delay * _GROWTH, _LONGEST)


async def while_ready(
    name: str,
    run: int,
    health: Health,
    helper: Helper,
    told: Told,
    *,
    ready: Callable[[], Awaitable[None]],
    spread: float,
) -> None:
    """By probes of the kind "health"; `spread` in [0, 1) is this container's place among others that begin now."""
    await ready()
    due = trio.current_time() + spread * min(SPREAD, health.interval)
    while True:
        await trio.sleep_until(due)
        why = await _look(name, run, health, helper)
        if why is not None:
            told.probed(name, run, why == "", why)
        due = max(due + health.interval, trio.current_time())


async def _look(name: str, run: int, health: Health, helper: Helper) -> str | None:
    with trio.move_on_after(health.timeout) as late:
        await helper.over(name, "health")
    if late.cancelled_caught:
        return "the probe before this one could not be ended yet"
    return await helper.probe(name, run, "health")
