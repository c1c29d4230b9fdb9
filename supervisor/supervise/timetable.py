"""Periodic containers: each is started when its time has come, and at no other time by itself.

Laws:
- Times are the wall clock's. It is looked at again at least every LOOK seconds, so a clock that was set,
  or a machine that slept, makes a time late, never lost in silence: what was missed is on record.
- Every time that has come is one record: schedule.due, schedule.skipped or schedule.missed.
- What an operator stopped is not started: that takes a start by hand.
- The instant up to which times have been dealt with outlives the supervisor, with the container's history.
"""

from functools import partial

import trio

from supervisor.core import schedule
from supervisor.core.events import Json, RestartAsked, StartAsked
from supervisor.core.machine import LIVE, Machine
from supervisor.core.spec import Schedule
from supervisor.supervise import cron
from supervisor.supervise.ask import Ask
from supervisor.supervise.container import Keeper
from supervisor.supervise.outside import Ports

LOOK = 30.0


async def keep(keeper: Keeper, ports: Ports, *, lately: bool) -> None:
    """Start it at its times, by the schedule that is declared now, until none is; `lately` declared, it has missed
    nothing. A bug of this file is not the container's end.
    """
    await keeper.settled.wait()
    while keeper.spec.schedule is not None:
        try:
            await _go_by(keeper, keeper.spec.schedule, ports, lately=lately)
        except Exception as error:  # noqa: BLE001 the crash boundary: as in container.py
            name = keeper.name
            ports.journal.record(
                "error", "supervisor.bug", name, None, doing="its schedule", error=repr(error)
            )
            await trio.sleep(LOOK)
        lately = True
    keeper.next_run = None


async def _go_by(keeper: Keeper, declared: Schedule, ports: Ports, *, lately: bool) -> None:
    """Until another schedule is declared, or none."""
    times = Timetable(keeper, declared, ports)
    times.begin(lately=lately)
    while keeper.spec.schedule == declared:
        with trio.move_on_after(times.wait()):
            await keeper.redeclared().wait()
            continue
        times.look()


class Timetable:
    """`since` is the instant up to which every time has been dealt with."""

    def __init__(self, keeper: Keeper, declared: Schedule, ports: Ports) -> None:
        self._keeper, self.declared, self._ports = keeper, declared, ports
        self._following = partial(cron.following, declared.cron, declared.timezone)

    def begin(self, *, lately: bool) -> None:
        """Deal with what passed while no supervisor was there; `lately` declared, it has missed nothing."""
        now, since = self._ports.wall(), self._keeper.memory.scheduled
        since = None if lately else since
        missed = schedule.NOTHING
        if since is not None and since < now:
            missed = schedule.due(self._following, since, now)
        count, last = missed.missed, missed.last_missed
        if missed.now is not None:
            count, last = count + 1, missed.now
        if count:
            self._missed(count, last, "no supervisor was there")
            if self.declared.missed == "run":
                self._act("times were missed")
        self._dealt_with(now)

    def wait(self) -> float:
        """Seconds until there is something to look at."""
        at = self._keeper.next_run
        return LOOK if at is None else min(LOOK, max(0.0, at - self._ports.wall()))

    def look(self) -> None:
        """Do what is due."""
        now, since = self._ports.wall(), self._keeper.memory.scheduled
        if since is None or since > now:  # the clock was set back
            since = now
        found = schedule.due(self._following, since, now)
        if found.missed:
            self._missed(found.missed, found.last_missed, "the machine slept, or its clock was set")
        if found.now is not None:
            self._act("its time has come")
        elif found.missed and self.declared.missed == "run":
            self._act("times were missed")
        if found.now is not None or found.missed or self._keeper.next_run is None or since == now:
            self._dealt_with(now)

    def _act(self, why: str) -> None:
        machine = self._keeper.machine
        if machine.state == "stopped" and not machine.closed:
            self._say("info", "schedule.skipped", why="it was stopped by hand: `start` resumes its schedule")
        elif not under_way(machine):
            self._say("info", "schedule.due", why=why)
            self._keeper.put(Ask(StartAsked("schedule"), _anything))
        elif self.declared.overlap == "restart":
            self._say("info", "schedule.due", why=f"{why}; run {machine.run} is ended for it")
            self._keeper.put(Ask(RestartAsked("schedule"), _anything))
        else:
            self._say("warning", "schedule.skipped", why=f"run {machine.run} is still under way")

    def _missed(self, count: int, last: float | None, why: str) -> None:
        text = None if last is None else cron.told(last, self.declared.timezone)
        self._say("warning", "schedule.missed", times=count, last=text, why=why)

    def _dealt_with(self, now: float) -> None:
        self._keeper.scheduled(now, self._following(now))

    def _say(self, level: str, event: str, **fields: Json) -> None:
        self._ports.journal.record(
            level, event, self._keeper.name, self._keeper.machine.run or None, **fields
        )


def under_way(machine: Machine) -> bool:
    """Whether a run is, or is going to be started again: a job that is tried again is not over."""
    return machine.state in LIVE or machine.state == "backoff"


def _anything(_machine: Machine) -> bool:
    return True
