"""The brake on restarts, as it is kept: one record when it begins to act, one when it lets go."""

import math
from collections.abc import Callable

import trio

from supervisor.core import brake
from supervisor.supervise.ports import Journal

#: Seconds; what rounding leaves of a wait must not become a loop.
SHORTEST = 0.01


class Brakes:
    """`rate` is restarts a second, of all containers together."""

    def __init__(self, rate: float, clock: Callable[[], float], journal: Journal) -> None:
        self._clock, self._journal = clock, journal
        self._brake = brake.fresh(rate, -math.inf)
        self._acts = trio.Event()

    def take(self, name: str) -> float:
        """A restart of it is due: seconds by which it is put off."""
        before = self._brake
        self._brake, wait = brake.take(before, self._clock())
        if self._brake.since is not None and before.since is None:
            self._journal.record(
                "warning", "supervisor.brake", restarts_per_second=before.rate, first=name,
                hint="many containers end at once; their restarts are spread over time",
            )  # fmt: skip
            self._acts.set()
        return wait

    async def run(self) -> None:
        """Say when it has let go."""
        while True:
            await self._acts.wait()
            while wait := brake.rest(self._brake, self._clock()):  # noqa: ASYNC110 what it waits for is time
                await trio.sleep(max(wait, SHORTEST))
            now, acted = self._clock(), self._brake
            self._journal.record(
                "info", "supervisor.brake_released", held=acted.held,
                seconds=round(now - (acted.since or now), 3),
            )  # fmt: skip
            self._brake, self._acts = brake.release(acted, now), trio.Event()
