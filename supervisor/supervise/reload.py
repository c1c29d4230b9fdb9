"""Root's files read again, and what they change done: one reload at a time, to its end.

Laws:
- What cannot be read or declared changes nothing, and is on record with every problem.
- What is not declared any more has ended and is removed before anything new is started.
- A container that an operator stopped, or that has ended as its policy allows, is not started by a reload: its
  next run is what the files say then.
- One record says what was changed, one for each container why; whoever asked is on record before.
- Whoever asks may leave: a reload that has begun is finished.
"""

import math
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from supervisor.core.machine import LIVE
from supervisor.core.operator import Operator
from supervisor.core.plan import Change, Plan, apply, diff
from supervisor.core.spec import Configuration
from supervisor.errors import ConfigError, HelperError, RequestError
from supervisor.supervise import redeclare
from supervisor.supervise.declared import Declared
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.ports import Files, Journal

Answer = dict[str, Any]


class _Ask:
    def __init__(self, by: Operator | None, *, apply: bool) -> None:
        self.by, self.apply = by, apply
        self.done = trio.Event()
        self.answer: Answer = {}
        self.error: RequestError | None = None


class Reload:
    """`decode` makes a Configuration of JSON; `take_up` hears of what is configured outside of the containers."""

    def __init__(
        self,
        declared: Declared,
        fleet: Fleet,
        files: Files,
        journal: Journal,
        *,
        decode: Callable[[bytes], Configuration],
        take_up: Callable[[Configuration], None],
    ) -> None:
        self._declared = declared
        self._fleet, self._files, self._journal = fleet, files, journal
        self._decode, self._take_up = decode, take_up
        self._asks, self._receive = trio.open_memory_channel[_Ask](math.inf)

    def take_over(self, kept: bytes | None, runs: Mapping[str, int]) -> None:
        """Tell what has changed of `runs` that another supervisor left; see Declared. Their limits are the helper's affair,
        and a restart is for a reload to do: whoever takes over ends nothing that is still declared.
        """
        plan = self._declared.take_over(kept, runs)
        for how, changes in (("at its next run", plan.restarted), ("in place", plan.changed)):
            for change in changes:
                self._tell(change.name, how, change)

    # ── asked ──────────────────────────────────────────────────────────────────────────

    async def plan(self) -> Answer:
        """What a reload would change now."""
        return await self._answer(_Ask(None, apply=False))

    async def reload(self, by: Operator | None = None) -> Answer:
        """Change it, and return when it is done; "failed" has what could not be, by container."""
        return await self._answer(_Ask(by, apply=True))

    def hear(self) -> None:
        """As `reload`, for a signal: nobody waits for the answer."""
        self._asks.send_nowait(_Ask(None, apply=True))

    async def _answer(self, ask: _Ask) -> Answer:
        self._fleet.refuse_changes()
        self._asks.send_nowait(ask)
        await ask.done.wait()
        if ask.error:
            raise ask.error
        return ask.answer

    # ── done ───────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Do what is asked for, until cancelled. A bug in one reload is on record, and is not the end of the next."""
        async for ask in self._receive:
            try:
                ask.answer = await self._do(ask)
            except RequestError as error:
                ask.error = error
            except Exception as error:  # noqa: BLE001 the crash boundary of a reload
                self._journal.record("error", "supervisor.bug", doing="reloading", error=repr(error))
                ask.error = RequestError("failed", f"internal error: {type(error).__name__}")
            ask.done.set()

    async def _do(self, ask: _Ask) -> Answer:
        self._fleet.refuse_changes()
        if ask.by is not None:
            self._journal.record("info", "operator.request", action="reload", operator=ask.by._asdict())
        try:
            found = await self._files.reload(apply=ask.apply)
        except ConfigError as error:
            raise self._refused(ask, RequestError("invalid", str(error), error.problems)) from None
        except HelperError as error:
            raise self._refused(ask, RequestError("failed", str(error))) from None
        new = self._decode(found.spec)
        running = self._declared.as_it_runs(self._live)
        plan = diff(running, new)
        if not ask.apply:
            return self._described(plan)
        self._declared.declare(apply(plan, running))
        failed = {name: why for name, why in found.limits.items() if why}
        self._record_limits(new, found.limits)
        answer = self._described(plan)
        failed |= await self._carry_out(plan, new)
        answer |= {"failed": failed}
        self._journal.record("error" if failed else "info", "supervisor.reloaded", **answer)
        return answer

    def _live(self, name: str) -> int:
        machine = self._fleet.keepers[name].machine
        return machine.run if machine.state in LIVE else 0

    def _rests(self, name: str) -> bool:
        return redeclare.rests_as_it_should(self._fleet.keepers[name].machine)

    def _described(self, plan: Plan) -> Answer:
        """What rests is changed without a restart."""
        rest = tuple(one for one in plan.restarted if self._rests(one.name))
        restarted = tuple(one for one in plan.restarted if one not in rest)
        return describe(replace(plan, restarted=restarted, changed=(*plan.changed, *rest)))

    def _refused(self, ask: _Ask, error: RequestError) -> RequestError:
        if ask.apply:
            self._journal.record("error", "supervisor.reload_refused", error=error.detail)
        return error

    def _record_limits(self, new: Configuration, limits: dict[str, str]) -> None:
        declared = {one.name: dict(one.cgroup) for one in new.containers}
        for name, why in limits.items():
            if why:
                self._journal.record("error", "container.limits_failed", name, error=why)
            else:
                self._journal.record("info", "container.limits", name, cgroup=dict(declared[name]))

    async def _carry_out(self, plan: Plan, new: Configuration) -> dict[str, str]:
        """What could not be done, by container."""
        fleet, order = self._fleet, [one.name for one in new.containers]
        runs = {one.name: fleet.keepers[one.name].machine.run for one in plan.restarted}
        for change in plan.restarted:
            self._tell(change.name, "at its next run" if self._rests(change.name) else "restarted", change)
        for change in plan.changed:
            self._tell(change.name, "in place", change)
        for container in new.containers:  # also one that runs as earlier files said, which say the same again
            if container.name in fleet.keepers and fleet.keepers[container.name].spec != container:
                redeclare.change(fleet, container)
        for name in plan.removed:
            self._tell(name, "removed")
        # Nobody that stays relies on it, though it may belong to a service that others rely on.
        fleet.arrange(list(fleet.keepers), apart=plan.removed, gated=plan.removed)
        gone = await _in_turn(
            {name: partial(redeclare.remove, fleet, name) for name in plan.removed}, self._users
        )
        fleet.groups.declare(new.groups)
        self._take_up(new)
        for container in plan.added:
            self._tell(container.name, "added")
            fleet.make(container)
        # What requires a service that grows goes on while it does.
        added = {one.name for one in plan.added}
        fleet.arrange(order, apart=added, gated=added | runs.keys())
        todo = {one.name: partial(redeclare.add, fleet, one) for one in plan.added}
        todo |= {name: partial(redeclare.renew, fleet, name, run) for name, run in runs.items()}
        failed = await _in_turn(todo, lambda names: {name: fleet.needed(name) - added for name in names})
        fleet.arrange(order)
        return gone | failed

    def _users(self, names: Iterable[str]) -> dict[str, Collection[str]]:
        """Which of them each has to be removed after."""
        needed = {name: self._fleet.needed(name) for name in names}
        return {name: [one for one in needed if name in needed[one]] for name in needed}

    def _tell(self, name: str, how: str, change: Change | None = None) -> None:
        keys = change.keys if change else ()
        self._journal.record("info", "container.reconfigured", name, how=how, keys=keys)
        if (keeper := self._fleet.keepers.get(name)) is not None:
            keeper.heard("container.reconfigured", keeper.machine.run, {"how": how, "keys": keys})


def describe(plan: Plan) -> Answer:
    """A plan as it is shown and recorded: names, and the keys that cause each action."""
    return {
        "added": [one.name for one in plan.added],
        "removed": list(plan.removed),
        "restarted": [{"name": one.name, "keys": list(one.keys)} for one in plan.restarted],
        "changed": [{"name": one.name, "keys": list(one.keys)} for one in plan.changed],
        "settings": list(plan.settings),
    }


async def _in_turn(
    todo: Mapping[str, Callable[[], Awaitable[None]]],
    after: Callable[[Iterable[str]], Mapping[str, Collection[str]]],
) -> dict[str, str]:
    """Do all of it side by side, but each after those of the others that `after` names; what failed, and why."""
    failed: dict[str, str] = {}
    done = {name: trio.Event() for name in todo}
    before = after(todo)

    async def one(name: str) -> None:
        for other in before[name]:
            if other in done:
                await done[other].wait()
        try:
            await todo[name]()
        except RequestError as error:
            failed[name] = error.detail
        finally:
            done[name].set()

    async with trio.open_nursery() as nursery:
        for name in todo:
            nursery.start_soon(one, name)
    return failed
