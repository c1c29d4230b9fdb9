"""Hooks on transitions: what root declared in [container.NAME.on] is run when a record says so.

Laws:
- One at a time for a container. What comes due meanwhile waits, each event once; the latest record stands.
- A hook gets the container's `why` record, with `hook` and `event` in it, as JSON on its standard input.
- How each went is on record: hook.ran, or the warning hook.failed. No hook's failure reaches supervision.
- Its command is the one in force when it is run; nothing a container prints becomes part of it.
"""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import msgspec
import trio

from supervisor.core import hooks
from supervisor.core.events import Json
from supervisor.core.hooks import Trigger, Watch
from supervisor.core.spec import Container
from supervisor.supervise import program
from supervisor.supervise.ports import Journal


class Record(Protocol):
    """A Journal's `record`."""

    def __call__(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None: ...


PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Hooks:
    """As a Journal this passes on to `journal` every record that it is given; how hooks went goes to `tell`."""

    def __init__(
        self,
        journal: Journal,
        spec: Callable[[str], Container | None],
        describe: Callable[[str], dict[str, Any]],
        tell: Record,
        *,
        before_exec: Callable[[], None] | None = None,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        self._journal, self._spec, self._describe, self._tell = journal, spec, describe, tell
        self._before_exec, self._clock = before_exec, clock
        self._watches: dict[str, Watch] = {}
        self._pending: dict[str, dict[Trigger, dict[str, Any]]] = {}
        self._busy: set[str] = set()
        self._nursery: trio.Nursery | None = None

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None:
        """Record it, then see whether a hook is due for it."""
        self._journal.record(level, event, container, run, **fields)
        if container is not None and not event.startswith("hook."):
            self._hear(container, run, event, fields)

    def together(self) -> AbstractContextManager[None]:
        return self._journal.together()

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run what is due, until cancelled; then nothing of any hook is left."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def _hear(self, name: str, run: int | None, event: str, fields: Mapping[str, Any]) -> None:
        spec = self._spec(name)
        if spec is None or not spec.on.commands:
            self._watches.pop(name, None)
            return
        before = self._watches.get(name, Watch())
        watch, trigger = hooks.hear(
            before, event, fields, self._clock(), spec.on.window, ready_at_start=spec.ready is None
        )
        self._watches[name] = watch
        if watch.well_since is not None and watch.well_since != before.well_since and self._nursery:
            self._nursery.start_soon(self._settle, name, run, watch.well_since)
        if trigger is not None:
            self._fire(spec, trigger, {"event": event, "run": run, **fields})

    async def _settle(self, name: str, run: int | None, since: float) -> None:
        """Wait until the container has been well for long enough, unless something comes between."""
        spec = self._spec(name)
        if spec is None:
            return
        settle = spec.restart.reset_after
        await trio.sleep_until(since + settle)
        watch = self._watches.get(name, Watch())
        if watch.well_since != since or (spec := self._spec(name)) is None:
            return
        self._watches[name], trigger = hooks.settled(watch, self._clock(), settle, spec.on.window)
        if trigger is not None:
            self._fire(spec, trigger, {"event": "recovered", "run": run})

    def _fire(self, spec: Container, trigger: Trigger, told: dict[str, Any]) -> None:
        if trigger not in dict(spec.on.commands) or self._nursery is None:
            return
        self._pending.setdefault(spec.name, {})[trigger] = told
        if spec.name not in self._busy:
            self._busy.add(spec.name)
            self._nursery.start_soon(self._work, spec.name)

    async def _work(self, name: str) -> None:
        try:
            while pending := self._pending.get(name):
                trigger = next(iter(pending))
                await self._one(name, trigger, pending.pop(trigger))
        finally:
            self._busy.discard(name)
            self._pending.pop(name, None)

    async def _one(self, name: str, trigger: Trigger, told: dict[str, Any]) -> None:
        spec = self._spec(name)
        command = dict(spec.on.commands).get(trigger) if spec is not None else None
        if spec is None or command is None:
            return
        run = told.get("run")
        try:
            given = msgspec.json.encode({"hook": trigger, "record": told, **self._describe(name)})
        except Exception as error:  # noqa: BLE001 a hook that cannot be told all is still told the event
            self._tell("error", "supervisor.bug", name, run, doing="its hook", error=repr(error))
            given = msgspec.json.encode({"hook": trigger, "record": told, "name": name})
        environment = {
            "PATH": PATH, "LANG": "C.UTF-8", "SUPERVISOR_NAME": name, "SUPERVISOR_HOOK": trigger,
            "SUPERVISOR_RUN": str(run or ""),
        }  # fmt: skip
        began = time.monotonic()
        result = await program.run(command, given + b"\n", environment, spec.on.timeout, self._before_exec)
        fields: dict[str, Json] = {"hook": trigger, "seconds": round(time.monotonic() - began, 3)}
        if result.well:
            self._tell("info", "hook.ran", name, run, **fields)
            return
        why = result.error or (
            f"it took longer than {spec.on.timeout:g} s and was killed" if result.late else ""
        )
        fields |= {"command": command, "code": result.code, "signal": result.signal, "error": why or None}
        self._tell("warning", "hook.failed", name, run, **fields, said=result.said or None)
