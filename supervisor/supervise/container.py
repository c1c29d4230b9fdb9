"""One container, kept as its machine says: inbox -> step -> effects, with one deadline.

Laws:
- What the machine has become is in the ledger before any effect of it is carried out. Steps that follow each other
  with nothing to wait for between them, as from an end to a restart without delay, are written there as one. Their
  records follow at once: no other task has a turn between the ledger and them (unsaid.py).
- A run is told to have ended only after its output is on record and its cgroup has been read.
- Nothing another room raises ends this task (deeds.py). What this file itself raises is recorded as
  supervisor.bug, and the task goes on from its machine (the crash boundary).
- A request is judged right after each step, so that no state is too short to be seen.
"""

from contextlib import suppress

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
    Record,
    Remove,
    SetTimer,
    StartAsked,
    TimerFired,
    Vanished,
)
from supervisor.core.history import CPU
from supervisor.core.lifecycle import step
from supervisor.core.machine import LIVE, RESTING, Machine, State, adopt, redeclare, restore, resume, snapshot
from supervisor.core.operator import Operator
from supervisor.core.spec import Container
from supervisor.supervise import unsaid
from supervisor.supervise.ask import Ask
from supervisor.supervise.deeds import Deeds
from supervisor.supervise.inbox import HEARD, Inbox, Item, Nudge
from supervisor.supervise.latch import Latch
from supervisor.supervise.ledger import Entry
from supervisor.supervise.memory import Memory
from supervisor.supervise.outside import Others, Ports
from supervisor.supervise.ports import (
    BecameReady,
    Cgroup,
    Ended,
    Extended,
    MainTold,
    Message,
    NotStarted,
    Probed,
    Reading,
    Started,
    StatusTold,
    Unready,
    WatchdogMissed,
)

#: After a bug the task waits this long, so that one which repeats itself cannot take a CPU.
PAUSE = 1.0
NOTHING = Reading()


class Keeper:
    """The task of one container, and what it knows of it. Only this task changes `machine`."""

    __slots__ = (
        "_answers", "_asks", "_deeds", "_heard", "_held", "_inbox", "_others", "_pending", "_ports", "_redeclared",
        "_scope", "_unsaved", "booted", "machine", "main_pid", "memory", "name", "next_run", "reading", "settled",
        "settled_as", "spec", "status_text",
    )  # fmt: skip

    def __init__(self, spec: Container, ports: Ports, others: Others) -> None:
        self.spec, self.name = spec, spec.name
        self.machine = Machine(spec.restart, spec.stop, readiness=spec.ready, health=spec.health)
        self.status_text = ""
        self.main_pid: int | None = None  # as the service tells it
        self.reading = NOTHING  # the last of the latest run
        self.memory = Memory()
        self.next_run: float | None = None  # seconds since the epoch
        self.settled = Latch()
        self.settled_as: State | None = None
        self.booted = False
        self._ports, self._others = ports, others
        self._inbox = Inbox()
        self._deeds = Deeds(self, ports, self._inbox)
        self._pending: list[Effect] = []
        self._asks: list[Ask] = []
        self._answers: list[Ask] = []
        self._unsaved = False
        self._heard = False
        self._held = -1
        self._redeclared: trio.Event | None = None
        self._scope = trio.CancelScope()

    def put(self, item: Ask | Message) -> None:
        self._inbox.put(item)

    def nudge(self) -> None:
        self._inbox.nudge()

    @property
    def cgroup(self) -> Cgroup | None:
        """Of its present run."""
        return self._deeds.cgroup

    def recall(self) -> None:
        """Take up what an earlier supervisor knew. Where that is gone, as after a reboot, the runs are numbered on from those
        on record: no two lines are called the same.
        """
        try:
            entry = self._ports.ledger.load(self.name)
            if entry is not None:
                self._take_up(entry)
                return
        except (OSError, ValueError) as error:
            self._deeds.say("warning", "supervisor.ledger_ignored", error=str(error))
        with self._deeds.guard("looking for its latest run"):
            self.machine = self.machine._replace(run=self._ports.output.last_run(self.name))

    def _take_up(self, entry: Entry) -> None:
        unsaid.make_up(self.name, entry, self._ports)
        then = self._ports.clock() - max(0.0, self._ports.wall() - entry.saved_at)
        machine = restore(self.spec, entry.content.get("machine"), then)
        self.memory.take_up(entry.content.get("memory"))
        self.machine = machine

    def redeclare(self, spec: Container) -> None:
        """Go by this from now on, also while it runs. No step is under way: a step waits for nothing."""
        self.spec = spec
        self.machine = redeclare(self.machine, spec)
        if self._redeclared is not None:
            self._redeclared.set()
            self._redeclared = None
        self._deeds.probe(spec, self.machine)

    def redeclared(self) -> trio.Event:
        """Set when it is the next time."""
        if self._redeclared is None:
            self._redeclared = trio.Event()
        return self._redeclared

    async def run(self) -> None:
        """Keep it, until it is dropped."""
        with self._scope:
            while True:
                try:
                    await self._live()
                except Exception as error:  # noqa: BLE001 the crash boundary: one container's bug stays its own
                    with suppress(Exception):
                        self._deeds.say("error", "supervisor.bug", doing="keeping it", error=repr(error))
                    await trio.sleep(PAUSE)

    def drop(self) -> None:
        self._scope.cancel()
        self.settled.close()

    async def _live(self) -> None:
        # Behind the effects that a crash left over, or a timer among them would be undone.
        self._pending.extend(resume(self.machine, self._ports.clock()))
        while True:
            self._act()
            while self._pending:
                await self._deeds.do(self._pending.pop(0))
            while self._answers:
                self._answers.pop().answered.set()
            item = await self._inbox.next()
            if isinstance(item, Ended) and self._ends(item):
                await self._deeds.read_out()
            with self._ports.journal.together():
                self._take(item)
                while (due := self._due()) is not None:
                    self._fired(due)
                self._act()

    def _act(self) -> None:
        """All that can be done at once; what is left is `_pending`."""
        if self._unsaved:
            self._save(self._ports.clock())
        self._deeds.do_now(self._pending)

    def _due(self) -> TimerFired | None:
        """A timer that is due as soon as it is set is none."""
        if self._pending and isinstance(timer := self._pending[-1], SetTimer) and timer.delay <= 0:
            self._pending.pop()
            return TimerFired(timer.serial)
        return None

    # ── heard ──────────────────────────────────────────────────────────────────────────

    def _take(self, item: Item) -> None:
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
                self._ended(item)
            case StatusTold(_, run, text):
                self.status_text = text if run == self.machine.run else self.status_text
            case MainTold(_, run, pid):
                self.main_pid = pid if run == self.machine.run else self.main_pid
            case BecameReady() | Unready() | Probed() | WatchdogMissed() | Extended():
                self._step(HEARD[type(item)](item))
            case TimerFired():
                self._fired(item)
            case _:
                self._step(item)

    def _fired(self, timer: TimerFired) -> None:
        if wait := self._brake(timer.serial):
            self._decide(Held(wait))
            self._held = self.machine.timer
        else:
            self._step(timer)

    def _asked(self, ask: Ask) -> None:
        boot = ask.event == StartAsked("boot")
        if boot:
            self._boot()
            if self.spec.schedule is not None:
                self.booted = True
                self.settled.close()
                ask.answered.set()
                return
        self._asks.append(ask)
        if ask.event is not None:
            self._step(ask.event, ask.by)
        self.booted |= boot  # what it was before is no answer to that
        self._judge()

    def _boot(self) -> None:
        """The helper has told what it knows: a run that it did not name is nowhere."""
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

    def _ends(self, message: Ended) -> bool:
        """Whether it is the end of the run under way: then its output is within reach."""
        self._learn(message.run)
        if message.run != self.machine.run or self.machine.state not in LIVE:
            return False
        self._heard = True
        self._deeds.attach(message.run, message.cgroup)
        return True

    def _ended(self, message: Ended) -> None:
        """Its output has been read to the end."""
        if message.run != self.machine.run or self.machine.state not in LIVE:
            return
        self.reading = reading = self._deeds.detach()
        asked = self.machine.state == "stopping"
        # A run that ended well was not ended by the kill of one of its processes.
        oom = bool(reading.oom_kill) and not asked and message.code != 0
        cpu = {key: getattr(reading, key) for key in CPU}
        self._step(Exited(message.run, message.code, message.signal, message.core, oom, cpu))

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
            self.reading, self.status_text, self.main_pid = NOTHING, "", None
        if before.state in {"running", "stopping"} and self.machine.state != before.state:
            self._deeds.probe_no_more(self.machine)
        self._unsaved |= bool(effects) or _differ(self.machine, before)
        self._judge()
        self._others.changed(self.name, before, event, effects)

    def _judge(self) -> None:
        blocked = any(wait.blocked for wait in self.machine.unmet)
        begun = self.machine.state not in {"waiting", "starting"} or (
            self.machine.state == "waiting" and blocked
        )
        if self.booted and begun and not self.settled.is_closed():
            self.settled_as = self.machine.state
            self.settled.close()
        if self._asks:
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
        self._unsaved = False
        content = {"machine": snapshot(self.machine, now), "memory": self.memory.content()}
        records = [effect for effect in self._pending if isinstance(effect, Record)]
        content |= unsaid.noted(self.name, records, self._ports.log)
        with self._deeds.guard("writing the ledger"):
            self._ports.ledger.save(self.name, content)


def _differ(one: Machine, other: Machine) -> bool:
    """In what is kept; what stands in the way of a launch is told anew."""
    return one is not other and one._replace(unmet=other.unmet) != other
