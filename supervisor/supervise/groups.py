"""Groups as they are kept: one record for each restart of a group and for its failure."""

import math
from collections.abc import Awaitable, Callable, Iterable, Mapping

import trio

from supervisor.core import group, order
from supervisor.core.events import GivenUp, RestartAsked, Wait
from supervisor.core.machine import LIVE, Machine
from supervisor.core.spec import Container, Group
from supervisor.supervise.ask import Ask, anything
from supervisor.supervise.container import Keeper
from supervisor.supervise.ports import Journal


class Groups:
    """`escalate` ends the whole supervisor; `in_order` puts names in the order of their start."""

    def __init__(  # noqa: PLR0917 the same order as in fleet.py
        self,
        groups: Iterable[Group],
        keepers: Mapping[str, Keeper],
        clock: Callable[[], float],
        journal: Journal,
        in_order: Callable[[Iterable[str]], tuple[str, ...]],
        settle: Callable[[Keeper, Callable[[Machine], bool]], Awaitable[None]],
    ) -> None:
        self._keepers, self._clock, self._journal = keepers, clock, journal
        self._in_order, self._settle = in_order, settle
        self._groups = tuple(groups)
        self._states: dict[str, group.State] = {}
        self._asked, self._receive = trio.open_memory_channel[tuple[str, ...]](math.inf)
        self.escalate: Callable[[str], None] = lambda _why: None

    def declare(self, groups: Iterable[Group]) -> None:
        """These from now on; a group that is under way keeps what it has counted."""
        self._groups = tuple(groups)
        self.arrange()

    def arrange(self) -> None:
        """Who is a member, by the containers there are now."""
        specs = [keeper.spec for keeper in self._keepers.values()]
        self._states = {one.name: self._state(one, specs) for one in self._groups}

    def _state(self, one: Group, specs: list[Container]) -> group.State:
        before = self._states.get(one.name, group.State(one, ()))
        members = [spec.name for word in one.members for spec in specs if word in {spec.name, spec.service}]
        return group.State(
            one, tuple(dict.fromkeys(members)), before.times, before.down, before.culprits, before.held
        )

    def waits(self, name: str) -> tuple[Wait, ...]:
        if not self._states:
            return ()
        held = (one for one in self._states.values() if group.holds(one, name))
        return tuple(Wait(f"group {one.group.name}", "is restarting") for one in held)

    def changed(self, name: str, before: Machine, after: Machine) -> None:
        failed = before.state in LIVE and after.state == "backoff"
        for key, old in self._states.items():
            if name not in old.members:
                continue
            state = self._failed(old, name) if failed else old
            live = after.state in LIVE and after.run == before.run
            new = group.note(state, name, live=live, backoff=after.state == "backoff")
            self._states[key] = new
            if new.held != old.held or new.down != old.down:
                for each in self._in_order(new.members):
                    self._keepers[each].nudge()

    def _failed(self, state: group.State, name: str) -> group.State:
        state, over = group.count(state, self._clock())
        one = state.group
        if over:
            self._give_up(state, name)
            return group.State(one, state.members)
        live = frozenset(each for each in state.members if self._keepers[each].machine.state in LIVE)
        new = group.begin(state, name, live)
        going = self._in_order(group.affected(state, name))
        going = tuple(each for each in reversed(going) if each in live)
        if going:
            self._journal.record(
                "warning", "group.restarting", group=one.name, strategy=one.strategy, because=name, members=going
            )  # fmt: skip
            self._asked.send_nowait(going)
        return new

    def _give_up(self, state: group.State, name: str) -> None:
        one = state.group
        assert one.limit is not None
        why = f"group {one.name}: more than {one.limit.failures} failures within {one.limit.within:g} s, the last of {name}"
        self._journal.record("error", "group.failed", group=one.name, reason=why, escalate=one.escalate)
        for each in reversed(self._in_order(state.members)):
            self._keepers[each].put(Ask(GivenUp(why), anything))
        if one.escalate == "stop-supervisor":
            self.escalate(why)

    async def run(self) -> None:
        """Take down, one after the other, what is to be restarted with its group."""
        async with trio.open_nursery() as nursery:
            async for names in self._receive:
                nursery.start_soon(self._take_down, names)

    async def _take_down(self, names: tuple[str, ...]) -> None:
        for name in names:
            keeper = self._keepers.get(name)
            if keeper is not None:
                keeper.put(Ask(RestartAsked("group"), anything))
                await self._settle(keeper, order.is_down)
