"""One container, kept as its machine says: inbox -> step -> effects, with one deadline.

Laws:
- What the machine has become is in the ledger before any effect of it is carried out.
- A run is told to have ended only after its output is on record and its cgroup has been read.
- Nothing another room raises ends this task (deeds.py). What this file itself raises is recorded as
  supervisor.bug, and the task goes on from its machine (the crash boundary).
- A request is judged right after each step, so that no state is too short to be seen.
"""

from collections import deque
from contextlib import suppress
from dataclasses import replace

import trio

from supervisor.core.events import (
    Dependencies,
    Effect,
    Event,
    Exited,
    Held,
    Json,
    Launched,
    LaunchFailed,
    Remove,
    StartAsked,
    TimerFired,
    Vanished,
)
from supervisor.core.lifecycle import step
from supervisor.core.machine import LIVE, RESTING, Machine, State, adopt, redeclare, restore, resume, snapshot
from supervisor.core.operator import Operator
from supervisor.core.spec import Container
from supervisor.supervise.ask import Ask
from supervisor.supervise.deeds import Deeds
from supervisor.supervise.inbox import HEARD, Inbox, Item, Nudge
from supervisor.supervise.memory import Memory
from supervisor.supervise.outside import Others, Ports
from supervisor.supervise.ports import (
    BecameReady,
    Cgroup,
    Ended,
    Extended,
    MainTold,
    NotStarted,
    Probed,
    Reading,
    Started,
    StatusTold,
    Unready,
    WatchdogMissed,
)

CPU = ("usage_usec", "nr_periods", "nr_throttled", "throttled_usec")
#: After a bug the task waits this long, so that one which repeats itself cannot take a CPU.
PAUSE = 1.0


class Keeper:
    """The task of one container, and what it knows of it. Only this task changes `machine`."""

    def __init__(self, spec: Container, ports: Ports, others: Others) -> None:
        self.spec, self.name = spec, spec.name
        self.machine = Machine(spec.restart, spec.stop, readiness=spec.ready, health=spec.health)
        self.status_text = ""
        self.main_pid: int | None = None  # as the service tells it
        self.reading = Reading()  # the last of the latest run
        self.memory = Memory()
        self.redeclared = trio.Event()  # replaced each time it is set
        self.next_run: float | None = None  # seconds since the epoch
        self.settled = trio.Event()
        self.settled_as: State | None = None
        self.booted = False
        self._ports, self._others = ports, others
        self._inbox = Inbox()
        self.put, self.nudge = self._inbox.put, self._inbox.nudge
        self._deeds = Deeds(self.name, ports, lambda: self.machine.run, self._inbox.own)
        self._pending: deque[Effect] = deque()
        self._asks: list[Ask] = []
        self._answers: list[Ask] = []
        self._heard = False
        self._held = -1

    @property
    def cgroup(self) -> Cgroup | None:
        """Of its present run."""
        return self._deeds.cgroup

    def recall(self) -> None:
        """Take up what an earlier supervisor knew."""
        try:
            entry = self._ports.ledger.load(self.name)
            if entry is None:
                return
            then = self._ports.clock() - max(0.0, self._ports.wall() - entry.saved_at)
            machine = restore(self.spec, entry.content.get("machine"), then)
        except (OSError, ValueError) as error:
            self._deeds.say("warning", "supervisor.ledger_ignored", error=str(error))
            return
        self.machine = machine
        self.memory.take_up(entry.content.get("memory"))

    def redeclare(self, spec: Container) -> None:
        """Go by this from now on, also while it runs. No step is under way: a step waits for nothing."""
        self.spec = spec
        self.machine = redeclare(self.machine, spec)
        self.redeclared.set()
        self.redeclared = trio.Event()
        self._deeds.probe(spec, self.machine)

    async def run(self) -> None:
        while True:
            try:
                await self._live()
            except Exception as error:  # noqa: BLE001 the crash boundary: one container's bug stays its own
                with suppress(Exception):
                    self._deeds.say("error", "supervisor.bug", doing="keeping it", error=repr(error))
                await trio.sleep(PAUSE)

    async def _live(self) -> None:
        # Behind the effects that a crash left over, or a timer among them would be undone.
        self._pending.extend(resume(self.machine, self._ports.clock()))
        while True:
            while self._pending:
                await self._deeds.do(self._pending.popleft(), self._inbox.set_timer)
            while self._answers:
                self._answers.pop().answered.set()
            await self._take(await self._inbox.next())

    # ── heard ──────────────────────────────────────────────────────────────────────────

    async def _take(self, item: Item) -> None:
        match item:
            case Ask():
                self._asked(item)
            case Nudge():
                self._look()
            case Started():
                self._started(item)
            case NotStarted(_, run, at, errno, path, hint):
                self._heard = True
                self._learn(run)
                self._step(LaunchFailed(run, at, errno, path, hint))
            case Ended():
                await self._ended(item)
            case StatusTold(_, run, text):
                self.status_text = text if run == self.machine.run else self.status_text
            case MainTold(_, run, pid):
                self.main_pid = pid if run == self.machine.run else self.main_pid
            case BecameReady() | Unready() | Probed() | WatchdogMissed() | Extended():
                self._step(HEARD[type(item)](item))
            case TimerFired(serial) if wait := self._brake(serial):
                self._decide(Held(wait))
                self._held = self.machine.timer
            case _:
                self._step(item)

    def _asked(self, ask: Ask) -> None:
        if ask.event == StartAsked("boot"):
            self._boot()
            if self.spec.schedule is not None:
                self.settled.set()
                ask.answered.set()
                return
        self._asks.append(ask)
        if ask.event is not None:
            self._step(ask.event, ask.by)
        self._judge()

    def _boot(self) -> None:
        """The helper has told what it knows: a run that it did not name is nowhere."""
        self.booted = True
        if self.machine.state in LIVE and not self._heard:
            self._step(Vanished(self.machine.run))
        elif self.machine.state in RESTING and self.machine.run:
            self._pending.append(Remove())  # the one that was asked for may have been lost

    def _started(self, message: Started) -> None:
        if message.run < self.machine.run:
            return
        self._heard = True
        self.machine = adopt(self.machine, message.run)
        self._deeds.cgroup = message.cgroup
        self._deeds.attach(message.run, message.cgroup)
        self._step(Launched(message.run, message.pid, message.launch_ms, message.adopted))
        self._deeds.probe(self.spec, self.machine)

    async def _ended(self, message: Ended) -> None:
        self._learn(message.run)
        if message.run != self.machine.run or self.machine.state not in LIVE:
            return
        self._heard = True
        self._deeds.attach(message.run, message.cgroup)
        self.reading = reading = await self._deeds.read_out()
        asked = self.machine.state == "stopping"
        # A run that ended well was not ended by the kill of one of its processes.
        oom = bool(reading.oom_kill) and not asked and message.code != 0
        cpu = {key: getattr(reading, key) for key in CPU}
        self._step(Exited(message.run, message.code, message.signal, oom, cpu))

    def _learn(self, run: int) -> None:
        """The helper knows a later run than we do: our memory was lost, or is older than the truth."""
        if run > self.machine.run:
            self.machine = adopt(self.machine, run)

    # ── decided ────────────────────────────────────────────────────────────────────────

    def _brake(self, serial: int) -> float:
        """Seconds by which a restart that is due is put off: once, then it has its place."""
        if self.machine.state != "backoff" or serial != self.machine.timer or serial == self._held:
            return 0.0
        return self._others.brake(self.name)

    def _step(self, event: Event, by: Operator | None = None) -> None:
        self._look()
        self._decide(event, by)

    def _look(self) -> None:
        """What stands in its way, as it is now: nothing is decided on old news."""
        unmet = self._others.unmet(self.name)
        if unmet is not None and unmet != self.machine.unmet:
            self._decide(Dependencies(unmet))

    def _decide(self, event: Event, by: Operator | None = None) -> None:
        before, now = self.machine, self._ports.clock()
        self.memory.operator = by
        self.machine, effects = step(before, event, now, self._ports.uniform())
        self._pending.extend(effects)
        self.memory.note(
            before, self.machine, event, effects, now=now, wall=self._ports.wall(), reading=self.reading
        )
        if self.machine.run != before.run:
            self.reading, self.status_text, self.main_pid = Reading(), "", None
        if before.state in {"running", "stopping"} and self.machine.state != before.state:
            self._deeds.probe_no_more(self.machine)
        if effects or replace(self.machine, unmet=before.unmet) != before:
            self._save(now)
        self._judge()
        self._others.changed(self.name, before, event, effects)

    def _judge(self) -> None:
        blocked = any(wait.blocked for wait in self.machine.unmet)
        begun = self.machine.state not in {"waiting", "starting"} or (
            self.machine.state == "waiting" and blocked
        )
        if self.booted and begun and not self.settled.is_set():
            self.settled_as = self.machine.state
            self.settled.set()
        self._answers += [ask for ask in self._asks if ask.holds(self.machine)]
        self._asks = [ask for ask in self._asks if ask not in self._answers]

    def scheduled(self, now: float, following: float | None) -> None:
        """Its times up to `now` have been dealt with; the next is `following`."""
        self.memory.scheduled, self.next_run = now, following
        self._save(self._ports.clock())

    def heard(self, event: str, run: int, fields: dict[str, Json]) -> None:
        """Another room recorded this about a run; it is saved with the next step."""
        self.memory.hear(event, run, fields, self._ports.wall())

    def _save(self, now: float) -> None:
        content = {"machine": snapshot(self.machine, now), "memory": self.memory.content()}
        with self._deeds.guard("writing the ledger"):
            self._ports.ledger.save(self.name, content)
