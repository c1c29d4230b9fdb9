"""All sinks, side by side.

Laws: each has a task and a crash boundary of its own; an error that is ours is reported, and that sink begins
anew after a while. One that is configured anew ends first and goes on from its cursor. `configure` never waits.
"""

from collections.abc import Callable, Mapping
from typing import Any

import trio

from supervisor.core.sinks import Sink
from supervisor.ship.carrier import Carrier
from supervisor.ship.folders import Folders
from supervisor.ship.sink import Shipping, Tell

#: Seconds after an error of ours.
_AGAIN = 30.0


class Sinks:
    def __init__(
        self,
        sinks: Mapping[str, Sink],
        folders: Folders,
        tell: Tell,
        report: Callable[[BaseException], None],
        make: Callable[[Sink], Carrier],
    ) -> None:
        self._sinks = dict(sinks)
        self._folders, self._tell, self._report, self._make = folders, tell, report, make
        self._nursery: trio.Nursery | None = None
        self._scopes: dict[str, trio.CancelScope] = {}
        self._shipping: dict[str, Shipping] = {}

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.configure(self._sinks)
            task_status.started()
            await trio.sleep_forever()

    def configure(self, sinks: Mapping[str, Sink]) -> None:
        """Those that are new or not the same begin, those that are gone end."""
        before, self._sinks = self._sinks, dict(sinks)
        for name, scope in self._scopes.items():
            if before.get(name) != self._sinks.get(name):
                scope.cancel()
        if self._nursery is not None:
            for name in self._sinks.keys() - self._scopes.keys():
                self._scopes[name] = trio.CancelScope()
                self._nursery.start_soon(self._keep_up, name)

    def status(self) -> list[dict[str, Any]]:
        """As schema.Sink has it, in the order of the files."""
        return [self._shipping[name].status() for name in self._sinks if name in self._shipping]

    async def _keep_up(self, name: str) -> None:
        try:
            while (sink := self._sinks.get(name)) is not None:
                self._scopes[name] = trio.CancelScope()
                with self._scopes[name]:
                    await self._one(name, sink)
        finally:
            self._scopes.pop(name, None)
            self._shipping.pop(name, None)

    async def _one(self, name: str, sink: Sink) -> None:
        try:
            self._shipping[name] = Shipping(name, sink, self._make(sink), self._folders, self._tell)
            await self._shipping[name].run()
        except Exception as error:  # noqa: BLE001  # this sink's crash boundary
            self._report(error)
            await trio.sleep(_AGAIN)
