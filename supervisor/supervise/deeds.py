"""What a container's machine wants done, done in the other rooms; and what goes wrong there, on record.

Laws: nothing that another room raises gets out of here, and nothing of it is lost; a launch that could
not be asked for is a failed launch, but without a helper it is put off.
"""

from typing import Protocol

from supervisor.core.events import (
    Effect,
    Json,
    Kill,
    Launch,
    LaunchFailed,
    Record,
    Remove,
    SetTimer,
    Signal,
)
from supervisor.core.machine import Machine
from supervisor.core.spec import Container
from supervisor.errors import HelperError
from supervisor.supervise import unsaid
from supervisor.supervise.inbox import Inbox
from supervisor.supervise.outside import Ports
from supervisor.supervise.ports import Cgroup, Reading
from supervisor.supervise.signals import number


class Kept(Protocol):
    """Whose deeds they are: its keeper."""

    name: str
    machine: Machine


class Deeds:
    """Of one container. `inbox` takes its timer, and word from the task to itself."""

    __slots__ = ("_attached", "_inbox", "_kept", "_name", "_ports", "_read_out", "cgroup")

    def __init__(self, kept: Kept, ports: Ports, inbox: Inbox) -> None:
        self.cgroup: Cgroup | None = None
        self._kept, self._name, self._ports, self._inbox = kept, kept.name, ports, inbox
        self._attached = 0
        self._read_out = False  # its output has been read to the end, and is still open

    def do_now(self, pending: list[Effect]) -> None:
        """All records, and those that wait for nothing up to the first that does. A launch comes before the records of it,
        and before what the last run leaves to be done: those can wait, a service is waited for.
        """
        *before, last = pending or (None,)
        if isinstance(last, Launch) and all(isinstance(effect, Record) for effect in before):
            with self.guard("launching it"):
                if self._ports.launcher.launch_now(self._name, last.run):
                    pending.pop()
        for record in [effect for effect in pending if isinstance(effect, Record)]:
            pending.remove(record)
            unsaid.say(self._ports.journal, self._name, record)
        self._let_go()
        while pending and isinstance(timer := pending[0], SetTimer):
            pending.pop(0)
            self._set(timer)

    def _set(self, timer: SetTimer) -> None:
        self._inbox.set_timer(timer.serial, self._ports.clock() + timer.delay)

    async def do(self, effect: Effect) -> None:
        launcher = self._ports.launcher
        match effect:
            case SetTimer():
                self._set(effect)
            case Launch(run):
                await self._launch(run)
            case Signal(run, signal):
                with self.guard("signalling it"):
                    await launcher.signal(self._name, run, number(signal))
            case Kill(run):
                with self.guard("killing it"):
                    await launcher.kill(self._name, run)
            case Remove():
                self.cgroup = None
                with self.guard("letting go of its cgroup"):
                    self._ports.kernel.release(self._name)
                with self.guard("removing what is left of it"):
                    await launcher.remove(self._name)

    async def _launch(self, run: int) -> None:
        asked, why = False, ""
        with self.guard("launching it"):
            try:
                await self._ports.launcher.launch(self._name, run)
                asked = True
            except HelperError as error:
                if self._ports.launcher.lost:
                    return  # nobody can launch it now: the next supervisor finds it starting, and asks for the same run
                asked, why = False, str(error)
        if not asked:
            self._inbox.own(LaunchFailed(run, "helper", 0, hint=why or "the launch could not be asked for"))

    # ── a run's output, cgroup and probes ──────────────────────────────────────────────

    def attach(self, run: int, cgroup: Cgroup | None) -> None:
        """Read its output and watch its cgroup: once a run."""
        if self._attached == run:
            return
        self._attached = run
        with self.guard("reading its output"):
            self._ports.output.attach(self._name, run)
        if cgroup is not None:
            with self.guard("watching its cgroup"):
                self._ports.kernel.attach(self._name, run, cgroup)

    async def read_out(self) -> None:
        """The run is over: its output to the end."""
        with self.guard("reading its output to the end"):
            await self._ports.output.drain(self._name)

    def detach(self) -> Reading:
        """The last of its cgroup; the run is over."""
        reading = Reading()
        with self.guard("reading its cgroup"):
            reading = self._ports.kernel.detach(self._name)
        self._attached, self._read_out = 0, True
        return reading

    def _let_go(self) -> None:
        """Of what has been read to the end. Nothing else has been done since, so nothing has come of the next run."""
        if self._read_out:
            self._read_out = False
            with self.guard("letting go of its output"):
                self._ports.output.detach(self._name)

    def probe(self, spec: Container, machine: Machine) -> None:
        """Begin its probes, or go on with them as it is declared now."""
        if machine.state == "running" and machine.pid is not None:
            with self.guard("probing it"):
                self._ports.probes.attach(spec, machine.run, machine.pid, self.cgroup, machine.ready)

    def probe_no_more(self, machine: Machine) -> None:
        """It has left the state in which it is probed."""
        probes = self._ports.probes
        with self.guard("ending its probes"):
            (probes.ending if machine.state == "stopping" else probes.detach)(self._name)

    # ── what goes wrong ────────────────────────────────────────────────────────────────

    def guard(self, doing: str) -> "Guard":
        """Another room's failure is recorded and survived."""
        return Guard(self, doing)

    def say(self, level: str, event: str, **fields: Json) -> None:
        self._ports.journal.record(level, event, self._name, self._kept.machine.run or None, **fields)


class Guard:
    """A context manager that is entered some ten times in each run of each container: a class is half of a generator."""

    __slots__ = ("_deeds", "_doing")

    def __init__(self, deeds: Deeds, doing: str) -> None:
        self._deeds, self._doing = deeds, doing

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        match error:
            case None:
                return False
            case HelperError():
                self._say("warning", "launcher.failed", str(error))
            case OSError():
                self._say("error", "supervisor.trouble", str(error))
            case Exception():  # whatever it is, this container must go on being kept
                self._say("error", "supervisor.bug", repr(error))
            case _:
                return False
        return True

    def _say(self, level: str, event: str, error: str) -> None:
        self._deeds.say(level, event, doing=self._doing, error=error)
