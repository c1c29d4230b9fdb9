"""One container, kept as its machine says: inbox -> step -> effects, with one deadline.

Laws:
- What the machine has become is in the ledger before any effect of it is carried out.
- A run is told to have ended only after its output is on record and its cgroup has been read.
- Nothing another room raises is lost or ends this task: it is recorded, and a launch that
  could not be asked for is a failed launch. What this file itself raises is recorded as
  supervisor.bug, and the task goes on from its machine (the crash boundary).
- A request is judged right after each step, so that no state is too short to be seen.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import trio

from supervisor.core.events import (
    Dependencies,
    Effect,
    Event,
    Exited,
    Held,
    Json,
    Kill,
    Launch,
    Launched,
    LaunchFailed,
    Record,
    Remove,
    SetTimer,
    Signal,
    StartAsked,
    TimerFired,
    Vanished,
)
from supervisor.core.lifecycle import step
from supervisor.core.machine import LIVE, RESTING, Machine, State, adopt, redeclare, restore, resume, snapshot
from supervisor.core.operator import Operator
from supervisor.core.spec import Container
from supervisor.errors import HelperError
from supervisor.supervise.ask import Ask
from supervisor.supervise.inbox import HEARD, Inbox, Item, Nudge
from supervisor.supervise.memory import Memory
from supervisor.supervise.outside import Others, Ports
from supervisor.supervise.ports import (
    BecameReady,
    Cgroup,
    Ended,
    Extended,
    NotStarted,
    Probed,
    Reading,
    Started,
    StatusTold,
    WatchdogMissed,
)
from supervisor.supervise.signals import number

CPU = ("usage_usec", "nr_periods", "nr_throttled", "throttled_usec")
#: After a bug the task waits this long, so that one which repeats itself cannot take a CPU.
PAUSE = 1.0


class Keeper:
    """The task of one container, and what it knows of it. Only this task changes `machine`."""

    def __init__(self, spec: Container, ports: Ports, others: Others) -> None:
        self.spec, self.name = spec, spec.name
        self.machine = Machine(spec.restart, spec.stop, readiness=spec.ready, health=spec.health)
        self.status_text = ""
        self.cgroup: Cgroup | None = None
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
        self._pending: deque[Effect] = deque()
        self._asks: list[Ask] = []
        self._answers: list[Ask] = []
        self._attached = 0
        self._heard = False
        self._held = -1

    def recall(self) -> None:
        """Take up what an earlier supervisor knew."""
        try:
            entry = self._ports.ledger.load(self.name)
            if entry is None:
                return
            then = self._ports.clock() - max(0.0, self._ports.wall() - entry.saved_at)
            machine = restore(self.spec, entry.content.get("machine"), then)
        except (OSError, ValueError) as error:
            self._say("warning", "supervisor.ledger_ignored", error=str(error))
            return
        self.machine = machine
        self.memory.take_up(entry.content.get("memory"))

    def redeclare(self, spec: Container) -> None:
        """Go by this from now on, also while it runs. No step is under way: a step waits for nothing."""
        self.spec = spec
        self.machine = redeclare(self.machine, spec)
        self.redeclared.set()
        self.redeclared = trio.Event()
        if self.machine.state == "running" and self.machine.pid is not None:
            with self._guard("probing it"):
                self._ports.probes.attach(
                    spec, self.machine.run, self.machine.pid, self.cgroup, self.machine.ready
                )

    async def run(self) -> None:
        while True:
            try:
                await self._live()
            except Exception as error:  # noqa: BLE001 the crash boundary: one container's bug stays its own
                with suppress(Exception):
                    self._say("error", "supervisor.bug", doing="keeping it", error=repr(error))
                await trio.sleep(PAUSE)

    async def _live(self) -> None:
        # Behind the effects that a crash left over, or a timer among them would be undone.
        self._pending.extend(resume(self.machine, self._ports.clock()))
        while True:
            while self._pending:
                await self._obey(self._pending.popleft())
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
            case BecameReady() | Probed() | WatchdogMissed() | Extended():
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
        self.cgroup = message.cgroup
        self._attach(message.run, message.cgroup)
        self._step(Launched(message.run, message.pid, message.launch_ms, message.adopted))
        if self.machine.state == "running":
            with self._guard("probing it"):
                self._ports.probes.attach(
                    self.spec, message.run, message.pid, message.cgroup, self.machine.ready
                )

    async def _ended(self, message: Ended) -> None:
        self._learn(message.run)
        if message.run != self.machine.run or self.machine.state not in LIVE:
            return
        self._heard = True
        self._attach(message.run, message.cgroup)
        reading = Reading()
        with self._guard("reading its output to the end"):
            await self._ports.output.drain(self.name)
        with self._guard("reading its cgroup"):
            reading = self._ports.kernel.detach(self.name)
        with self._guard("letting go of its output"):
            self._ports.output.detach(self.name)
        self._attached, self.reading = 0, reading
        asked = self.machine.state == "stopping"
        # A run that ended well was not ended by the kill of one of its processes.
        oom = bool(reading.oom_kill) and not asked and message.code != 0
        cpu = {key: getattr(reading, key) for key in CPU}
        self._step(Exited(message.run, message.code, message.signal, oom, cpu))

    def _learn(self, run: int) -> None:
        """The helper knows a later run than we do: our memory was lost, or is older than the truth."""
        if run > self.machine.run:
            self.machine = adopt(self.machine, run)

    def _attach(self, run: int, cgroup: Cgroup | None) -> None:
        if self._attached == run:
            return
        self._attached = run
        with self._guard("reading its output"):
            self._ports.output.attach(self.name, run)
        if cgroup is not None:
            with self._guard("watching its cgroup"):
                self._ports.kernel.attach(self.name, run, cgroup)

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
            self.reading, self.status_text = Reading(), ""
        if before.state == "running" and self.machine.state != "running":
            with self._guard("ending its probes"):
                self._ports.probes.detach(self.name)
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
        with self._guard("writing the ledger"):
            self._ports.ledger.save(self.name, content)

    # ── wanted ─────────────────────────────────────────────────────────────────────────

    async def _obey(self, effect: Effect) -> None:
        launcher = self._ports.launcher
        match effect:
            case Record(level, event, run, fields):
                self._ports.journal.record(level, event, self.name, run or None, **dict(fields))
            case SetTimer(serial, delay):
                self._inbox.set_timer(serial, self._ports.clock() + delay)
            case Launch(run):
                await self._launch(run)
            case Signal(run, signal):
                with self._guard("signalling it"):
                    await launcher.signal(self.name, run, number(signal))
            case Kill(run):
                with self._guard("killing it"):
                    await launcher.kill(self.name, run)
            case Remove():
                self.cgroup = None
                with self._guard("removing what is left of it"):
                    await launcher.remove(self.name)

    async def _launch(self, run: int) -> None:
        asked, why = False, ""
        with self._guard("launching it"):
            try:
                await self._ports.launcher.launch(self.name, run)
                asked = True
            except HelperError as error:
                asked, why = False, str(error)
        if not asked:
            self._inbox.own(LaunchFailed(run, "helper", 0, hint=why or "the launch could not be asked for"))

    @contextmanager
    def _guard(self, doing: str) -> Iterator[None]:
        """Another room's failure is recorded and survived."""
        try:
            yield
        except HelperError as error:
            self._say("warning", "launcher.failed", doing=doing, error=str(error))
        except OSError as error:
            self._say("error", "supervisor.trouble", doing=doing, error=str(error))
        except Exception as error:  # noqa: BLE001 whatever it is, this container must go on being kept
            self._say("error", "supervisor.bug", doing=doing, error=repr(error))

    def _say(self, level: str, event: str, **fields: Json) -> None:
        self._ports.journal.record(level, event, self.name, self.machine.run or None, **fields)
