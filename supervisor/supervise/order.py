"""The order of containers as it is kept: who is told of whom, and how something is taken down.

Laws:
- Before each of its steps a container is told what stands in its way as it then is (`unmet`), so nothing is
  launched on old news; when that changes it is woken (`changed`).
- Before something is stopped or restarted by hand, what requires it has gone down; while the supervisor
  stops, everything stops after all that depends on it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager

import trio

from supervisor.core import order
from supervisor.core.events import Effect, Event, StartAsked, Wait
from supervisor.core.machine import Machine
from supervisor.supervise.ask import Ask
from supervisor.supervise.brake import Brakes
from supervisor.supervise.container import Keeper
from supervisor.supervise.groups import Groups

CLOSING = Wait("the supervisor", "is stopping")


class Order:
    """`keepers` is the fleet's own; `arrange` follows what is changed in it."""

    def __init__(self, keepers: Mapping[str, Keeper], brakes: Brakes, groups: Groups | None = None) -> None:
        self.groups = groups
        self._keepers, self._brakes = keepers, brakes
        self._graph = order.graph(())
        self._apart: Collection[str] = ()
        self._gated: Collection[str] = ()
        self._going: Counter[str] = Counter()
        self._booted = False
        self._closing = False

    def part(self, apart: Collection[str], gated: Collection[str]) -> None:
        """Until this is said anew: of what is `apart`, only `gated` depend on it; see core.order.graph."""
        self._apart, self._gated = apart, gated
        self.arrange()

    def arrange(self) -> None:
        """Who depends on whom, by what each is declared as now."""
        specs = (keeper.spec for keeper in self._keepers.values())
        self._graph = order.graph(specs, self._apart, self._gated)
        if self.groups is not None:
            self.groups.arrange()
        if self._booted:
            for keeper in self._keepers.values():
                keeper.nudge()

    # ── told ───────────────────────────────────────────────────────────────────────────

    def boot(self) -> None:
        """What was there before is known from here on."""
        self._booted = True

    def unmet(self, name: str) -> tuple[Wait, ...] | None:
        if not self._booted:
            return None
        needs = self._graph.needs.get(name)
        known = self._unmet(needs) if needs else ()
        if self.groups is not None:
            known = (*known, *self.groups.waits(name))
        return (*known, CLOSING) if self._closing else known

    def _unmet(self, needs: tuple[order.Need, ...]) -> tuple[Wait, ...]:
        standings = {need.name: order.standing(self._keepers[need.name].machine) for need in needs}
        found = order.unmet(needs, standings, +self._going)
        unheard = {need.name for need in needs if not self._keepers[need.name].booted}
        return tuple(
            Wait(wait.name, "has not been started yet") if wait.name in unheard else wait for wait in found
        )

    def recall(self) -> None:
        """What stood in each container's way when an earlier supervisor last wrote, before anything is heard."""
        standings = {name: order.standing(keeper.machine) for name, keeper in self._keepers.items()}
        for name, keeper in self._keepers.items():
            unmet = order.unmet(self._graph.needs.get(name, ()), standings)
            keeper.machine = keeper.machine._replace(unmet=unmet)

    def changed(self, name: str, before: Machine, event: Event, _effects: tuple[Effect, ...]) -> None:
        after = self._keepers[name].machine
        if self._booted and self._graph.dependants.get(name):
            heard = event == StartAsked("boot")
            if heard or order.standing(before) != order.standing(after):
                self.wake(name)
        if self._booted and self.groups is not None and before.state != after.state:
            self.groups.changed(name, before, after)

    def brake(self, name: str) -> float:
        return self._brakes.take(name)

    def wake(self, name: str) -> None:
        for dependant in self._graph.dependants.get(name, ()):
            self._keepers[dependant].nudge()

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        return order.sequence((name for name in names if name in self._keepers), self._graph.needs)

    def needed(self, name: str) -> frozenset[str]:
        """All that comes before it at a start."""
        edges = {each: [need.name for need in needs] for each, needs in self._graph.needs.items()}
        return frozenset(order.closure([name], edges))

    def in_start_order(self) -> tuple[str, ...]:
        return order.sequence(self._keepers, self._graph.needs)

    # ── taken down, brought up ─────────────────────────────────────────────────────────

    def required(self, name: str) -> tuple[str, ...]:
        """What a start of it has to start first, in that order."""
        edges = {
            each: [need.name for need in needs if need.required] for each, needs in self._graph.needs.items()
        }
        found = order.closure([name], edges)
        down = [
            each
            for each in found
            if self._keepers[each].machine.state != "backoff"
            and order.standing(self._keepers[each].machine).blocked
        ]
        return order.sequence(down, self._graph.needs)

    @asynccontextmanager
    async def down(self, name: str) -> AsyncIterator[None]:
        """Within, nothing that requires it lives, nor is started."""
        names = (name, *order.closure([name], self._graph.requirers))
        going: list[str] = []
        try:
            for each in reversed(order.sequence(names, self._graph.needs)):
                going.append(each)
                self._going[each] += 1
                self.wake(each)
                for requirer in self._graph.requirers.get(each, ()):
                    if requirer in self._keepers:  # or it has been removed meanwhile
                        await settle(self._keepers[requirer], order.is_down)
            yield
        finally:
            self._going.subtract(going)
            for each in going:
                self.wake(each)

    async def close(self, stop: Callable[[Keeper], Awaitable[None]]) -> None:
        """Stop every container, each after all that depends on it."""
        self._closing = True
        rested = {name: trio.Event() for name in self._keepers}

        async def one(keeper: Keeper) -> None:
            for dependant in self._graph.dependants.get(keeper.name, ()):
                await rested[dependant].wait()
            await stop(keeper)
            rested[keeper.name].set()

        async with trio.open_nursery() as nursery:
            for keeper in self._keepers.values():
                nursery.start_soon(one, keeper)


async def settle(keeper: Keeper, done: Callable[[Machine], bool]) -> None:
    """Wait until its machine has become so."""
    ask = Ask(None, done)
    keeper.put(ask)
    await ask.answered.wait()
