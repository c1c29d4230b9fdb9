"""All containers: what is asked of them, what is delivered to them, what is known of them.

Nothing polls. What operators ask for is in requests.py.
"""

import os
import random
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from supervisor.core.events import Json, StartAsked
from supervisor.core.spec import Configuration, Container
from supervisor.errors import RequestError
from supervisor.supervise import timetable, unsaid
from supervisor.supervise.ask import Ask, anything
from supervisor.supervise.brake import Brakes
from supervisor.supervise.container import Keeper
from supervisor.supervise.groups import Groups
from supervisor.supervise.ledger import Ledger
from supervisor.supervise.order import Order, settle
from supervisor.supervise.outside import Ports
from supervisor.supervise.ports import Journal, Kernel, Launcher, Log, Message, NoProbes, Output, Probes
from supervisor.supervise.requests import Requests, named
from supervisor.supervise.status import inspect, status
from supervisor.supervise.why import why

#: What other rooms record and history keeps.
HISTORY = frozenset({"cgroup.throttled", "memory.oom_kill", "hook.failed"})
#: A container that is first seen so could not be started.
UNSTARTED = frozenset({"waiting", "backoff", "failed"})


class Fleet:
    """`clock` must be the one trio keeps time by; `uniform` gives numbers in [0, 1)."""

    def __init__(  # noqa: PLR0917 the ports, in the order in which daemon.py makes them
        self,
        configuration: Configuration,
        launcher: Launcher,
        output: Output,
        kernel: Kernel,
        journal: Journal,
        ledger: Ledger,
        *,
        log: Log,
        clock: Callable[[], float] = trio.current_time,
        wall: Callable[[], float] = time.time,
        uniform: Callable[[], float] = random.random,
        probes: Probes | None = None,
    ) -> None:
        self._ports = Ports(
            launcher, output, kernel, journal, log, ledger, clock, wall, uniform, probes or NoProbes()
        )
        self._keepers: dict[str, Keeper] = {}
        self._brakes = Brakes(configuration.settings.restarts_per_second, clock, journal)
        self._order = Order(self._keepers, self._brakes)
        self.groups = Groups(
            configuration.groups, self._keepers, clock, journal, self._order.in_order, settle
        )
        self._order.groups = self.groups
        for spec in configuration.containers:
            self._keepers[spec.name] = Keeper(spec, self._ports, self._order)
        self._order.arrange()
        asked = Requests(self._keepers, self._order, self._ports)
        self.start, self.restart, self.stop, self.kill = asked.start, asked.restart, asked.stop, asked.kill
        self.stop_asked, self.shutdown = asked.stop_asked, asked.shutdown
        self.begin, self.refuse_changes = asked.begin, asked.refuse_changes
        self._cpus = os.cpu_count() or 1
        self._nursery: trio.Nursery | None = None
        self._timetables: dict[str, trio.CancelScope] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep all containers until cancelled; what an earlier supervisor knew is read first."""
        for keeper in self._keepers.values():
            keeper.recall()
        unsaid.recall_others(self._keepers, self._ports)
        self._order.recall()
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._brakes.run)
            nursery.start_soon(self.groups.run)
            for keeper in self._keepers.values():
                self.keep(keeper)
            task_status.started()
            await trio.sleep_forever()

    def make(self, spec: Container) -> Keeper:
        """A keeper of one more container, which knows what is remembered of it."""
        keeper = self._keepers[spec.name] = Keeper(spec, self._ports, self._order)
        keeper.recall()
        keeper.booted = True
        self._order.arrange()
        return keeper

    def keep(self, keeper: Keeper) -> None:
        """Let it do its work, until it is dropped."""
        assert self._nursery
        self._nursery.start_soon(keeper.run, name=f"container {keeper.name}")
        self._go_by_schedule(keeper, lately=False)

    def drop(self, keeper: Keeper) -> None:
        del self._keepers[keeper.name]
        keeper.drop()
        if scope := self._timetables.pop(keeper.name, None):
            scope.cancel()
        self._order.arrange()

    def change(self, keeper: Keeper, spec: Container) -> None:
        """Go by this from now on."""
        keeper.redeclare(spec)
        self._go_by_schedule(keeper, lately=True)
        self._order.arrange()

    def _go_by_schedule(self, keeper: Keeper, *, lately: bool) -> None:
        """A task beside the keeper's, where it declares one; it ends with the last schedule that is declared."""
        assert self._nursery
        name = keeper.name
        if keeper.spec.schedule is None or name in self._timetables:
            return
        scope = self._timetables[name] = trio.CancelScope()

        async def keep() -> None:
            with scope:
                await timetable.keep(keeper, self._ports, lately=lately)
            if self._timetables.get(name) is scope:
                del self._timetables[name]

        self._nursery.start_soon(keep, name=f"schedule of {name}")

    @asynccontextmanager
    async def down(self, keeper: Keeper) -> AsyncIterator[None]:
        """Within, nothing that requires it lives."""
        async with self._order.down(keeper.name):
            yield

    def deliver(self, message: Message) -> None:
        keeper = self._keepers.get(message.name)
        if keeper is not None:
            keeper.put(message)
            return
        # Not declared any more, or a name the helper made up: seen, not obeyed.
        self._ports.journal.record(
            "warning", "launcher.unknown_container", message.name, message.run, told=type(message).__name__
        )

    def observed(self, event: str, name: str, run: int, fields: dict[str, Json]) -> None:
        """Another room recorded this about a run."""
        if event in HISTORY and (keeper := self._keepers.get(name)) is not None:
            keeper.heard(event, run, fields)

    async def boot(self) -> None:
        """Ask for every container; to be called once the helper has told what already lives."""
        self._order.boot()
        for name in self._order.in_start_order():
            self._keepers[name].put(Ask(StartAsked("boot"), anything))

    async def settled(self) -> list[str]:
        """Once every container has been started the first time: the names of those that could not be."""
        keepers = list(self._keepers.values())
        for keeper in keepers:
            await keeper.settled.wait()
        return [one.name for one in keepers if one.settled_as in UNSTARTED]

    # ── declared anew, see redeclare.py ────────────────────────────────────────────────

    @property
    def keepers(self) -> dict[str, Keeper]:
        """By name, in the order in which they are shown."""
        return self._keepers

    def needed(self, name: str) -> frozenset[str]:
        """All containers that come before it at a start, and after it at a stop."""
        return self._order.needed(name)

    def arrange(
        self, order: Sequence[str], *, apart: Collection[str] = (), gated: Collection[str] = ()
    ) -> None:
        """Show them in this order; `apart` are not started yet, and only `gated` wait for them."""
        kept = {name: self._keepers[name] for name in order if name in self._keepers}
        self._keepers.clear()
        self._keepers.update(kept)
        self._order.part(apart, gated)

    # ── known ──────────────────────────────────────────────────────────────────────────

    def status(self, names: Sequence[str] = ()) -> list[dict[str, Any]]:
        wanted = {keeper.name for name in names for keeper in named(self._keepers, name)}
        return [
            self._status(keeper) for keeper in self._keepers.values() if not names or keeper.name in wanted
        ]

    def inspect(self, name: str) -> dict[str, Any]:
        keeper = self._one(name)
        return inspect(keeper, self._status(keeper))

    def why(self, name: str, runs: int | None = None) -> dict[str, Any]:
        """The newest `runs` runs, None: all that are remembered; their `output` is the caller's to fill in."""
        keeper = self._one(name)
        wall, state = self._ports.wall(), self._status(keeper)
        kept = {key: state[key] for key in ("state", "ready", "healthy", "restarts", "pid", "next_run")}
        return why(
            keeper.name,
            {**kept, "reason": keeper.machine.reason or None},
            keeper.memory.runs,
            self._ports.kernel.latest(keeper.name),
            wall=wall,
            cpus=self._cpus,
            ready_at_start=keeper.spec.ready is None,
            newest=runs,
        )

    def _one(self, name: str) -> Keeper:
        keepers = named(self._keepers, name)
        if len(keepers) > 1:
            replicas = ", ".join(keeper.name for keeper in keepers)
            raise RequestError("invalid", f"{name} has {len(keepers)} replicas; name one of {replicas}")
        return keepers[0]

    def _status(self, keeper: Keeper) -> dict[str, Any]:
        latest = self._ports.kernel.latest(keeper.name)
        return status(keeper, latest, self._ports.output.waiting(keeper.name), self._ports.clock())
