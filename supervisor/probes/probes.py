"""The probes of all runs, each container's in tasks of its own. Implements supervise.ports.Probes.

Laws: of a run that is over nothing is told; a bug in one probe is on record and ends that probe alone. After a reload a
probe goes on as it is unless it is declared anew.
"""

import random
from collections.abc import Awaitable, Callable
from functools import partial

import trio

from supervisor.core.readings import Cgroup
from supervisor.core.spec import Container
from supervisor.errors import HelperError
from supervisor.probes.lines import Pattern
from supervisor.probes.listening import Belongs, Listener
from supervisor.probes.patience import ImpatientError, at_most
from supervisor.probes.ports import Helper, Lines, Told
from supervisor.probes.rounds import until_ready, while_ready
from supervisor.probes.senders import belongs

#: Seconds of CPU that a pattern may take for what is read at once: the daemon has other things to do.
PATIENCE = 0.5
TOO_SLOW = (
    "ready.pattern takes too long for what it printed: write it without a repetition inside of a repetition"
)
Task = Callable[[], Awaitable[None]]
#: Types of readiness that are seen by looking; the others are heard of.
ASKED = ("exec", "http", "tcp")


class Probes:
    """`report` hears of bugs. What is attached before `run` begins is probed once it does."""

    def __init__(
        self,
        helper: Helper,
        lines: Lines,
        told: Told,
        report: Callable[[BaseException], None],
        *,
        uniform: Callable[[], float] = random.random,
        belongs: Belongs = belongs,
    ) -> None:
        self._helper, self._lines, self._report, self._uniform = helper, lines, report, uniform
        self._belongs = belongs
        self._told = told._replace(ready=self._became_ready)
        self._tell_ready = told.ready
        self._runs: dict[str, _Run] = {}
        self._nursery: trio.Nursery | None = None

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await trio.sleep_forever()

    def attach(self, spec: Container, run: int, _pid: int, cgroup: Cgroup | None, ready: bool) -> None:
        one = self._runs.get(spec.name)
        if one is None and spec.ready is None and spec.health is None:
            return
        if one is None or one.number != run:
            self.detach(spec.name)
            one = self._runs[spec.name] = _Run(run, cgroup)
        if ready:
            one.ready.set()
        waits = None if one.ready.is_set() or one.ending else spec.ready
        asked = waits if waits and waits.type in ASKED else None
        self._listen(spec.name, one, str(waits.subject) if waits and waits.type == "log" else None)
        notify = spec.ready is not None and spec.ready.type == "notify"
        watchdog = spec.ready.watchdog if spec.ready else None
        self._keep(one, "ready", asked, partial(until_ready, spec.name, run, self._helper, self._told))
        self._keep(one, "words", notify or None, partial(self._words, spec, one, watchdog))
        idle = one.ending or one.resting
        self._keep(one, "health", None if idle else spec.health, partial(self._health, spec, one))

    def ending(self, name: str) -> None:
        """Its end is under way: that is no illness. What it has to say is heard until it is over."""
        if one := self._runs.get(name):
            one.end("ready")
            one.end("health")
            one.ending = True
            if one.listener:
                one.listener.end_watch()
            self._lines.listen_no_more(name)

    def detach(self, name: str) -> None:
        """It is over."""
        if one := self._runs.pop(name, None):
            for kind in list(one.scopes):
                one.end(kind)
            self._lines.listen_no_more(name)

    # ── one run ────────────────────────────────────────────────────────────────────────

    def _keep(self, one: "_Run", kind: str, declared: object, task: Task) -> None:
        """Have this done of it, anew where it is declared anew; None: not at all."""
        if one.declared.get(kind) == declared:
            return
        one.end(kind)
        one.declared[kind] = declared
        if declared is not None and self._nursery is not None:
            scope = one.scopes[kind] = trio.CancelScope()
            self._nursery.start_soon(self._guard, scope, task)

    async def _guard(self, scope: trio.CancelScope, task: Task) -> None:
        with scope:
            try:
                await task()
            except HelperError:
                return  # which is on record; the next start probes again
            except Exception as error:  # noqa: BLE001 one probe's bug stays its own
                self._report(error)

    def _listen(self, name: str, one: "_Run", text: str | None) -> None:
        """At once: its first line may be read in the next moment."""
        if one.declared.get("log") == text:
            return
        one.declared["log"] = text
        self._lines.listen_no_more(name)
        if text is None:
            return
        pattern = Pattern(text)

        def hear(stream: str, data: bytes) -> None:
            try:
                with at_most(PATIENCE):
                    matches = pattern.matches(stream, data)
            except ImpatientError:
                self._lines.listen_no_more(name)
                self._told.unready(name, one.number, TOO_SLOW)
                return
            if matches:
                self._lines.listen_no_more(name)
                self._became_ready(name, one.number)

        self._lines.listen(name, hear)

    async def _health(self, spec: Container, one: "_Run") -> None:
        assert spec.health
        await while_ready(
            spec.name,
            one.number,
            spec.health,
            self._helper,
            self._told,
            ready=one.ready.wait,
            spread=self._uniform(),
        )

    async def _words(self, spec: Container, one: "_Run", watchdog: float | None) -> None:
        name = spec.name
        found = await self._helper.words(name, one.number)
        if found is None:
            return  # it was launched before this was declared
        one.listener = Listener(
            name, one.number, one.cgroup, self._told, watchdog,
            is_ready=one.ready.is_set, stopping=partial(self._rest, spec, one),
            belongs=self._belongs,
        )  # fmt: skip
        if one.ending:
            one.listener.end_watch()
        await one.listener.listen(*found)

    def _rest(self, spec: Container, one: "_Run", seconds: float) -> None:
        """It says that it ends: what it does then is no illness, for as long as an end may take (`stop.timeout`), or it asks."""
        seconds = max(seconds, spec.stop.timeout)
        one.resting = True
        one.end("health")
        if one.listener:
            one.listener.rest(seconds)

        async def go_on() -> None:
            await trio.sleep(seconds)
            one.resting = False
            self._keep(one, "health", None if one.ending else spec.health, partial(self._health, spec, one))

        one.end("rest")
        self._keep(one, "rest", seconds, go_on)

    def _became_ready(self, name: str, run: int) -> None:
        one = self._runs.get(name)
        if one is not None and one.number == run and not one.ready.is_set():
            one.ready.set()
            self._tell_ready(name, run)


class _Run:
    def __init__(self, number: int, cgroup: Cgroup | None) -> None:
        self.number, self.cgroup = number, cgroup
        self.ready = trio.Event()
        self.ending = self.resting = False
        self.listener: Listener | None = None
        self.scopes: dict[str, trio.CancelScope] = {}
        self.declared: dict[str, object] = {}

    def end(self, kind: str) -> None:
        self.declared.pop(kind, None)
        if scope := self.scopes.pop(kind, None):
            scope.cancel()
