"""What operators ask for: start, stop, restart, signal, and the end of the whole supervisor.

Laws: a request returns when it is done, and raises RequestError when it cannot be. While the supervisor
is stopping nothing is started. Every change that an operator asks for is on record, with the operator's
uid and PID, before it is begun.
"""

from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches

import trio

from supervisor.core.events import RestartAsked, StartAsked, StopAsked
from supervisor.core.machine import LIVE, RESTING
from supervisor.core.operator import Operator
from supervisor.errors import HelperError, RequestError
from supervisor.supervise.ask import Ask, answer, anything, decided, rests, stopped
from supervisor.supervise.container import Keeper
from supervisor.supervise.order import Order
from supervisor.supervise.outside import Ports
from supervisor.supervise.signals import number


class Requests:
    """`keepers` and `order` are the fleet's own. `by` is who is on record for a request; None where nobody asked
    over the socket.
    """

    def __init__(self, keepers: Mapping[str, Keeper], order: Order, ports: Ports) -> None:
        self._keepers, self._order, self._ports = keepers, order, ports
        self._closing = False
        self._stopper: Operator | None = None

    async def start(self, name: str, by: Operator | None = None) -> None:
        self._refuse_if_closing()
        await self._each(name, "start", by, lambda keeper: self.begin(keeper, StartAsked(), by))

    async def restart(self, name: str, by: Operator | None = None) -> None:
        self._refuse_if_closing()
        await self._each(name, "restart", by, lambda keeper: self.begin(keeper, RestartAsked(), by))

    async def stop(self, name: str, by: Operator | None = None) -> None:
        await self._each(name, "stop", by, lambda keeper: self._stop(keeper, StopAsked(), by))

    async def kill(self, name: str, signal: str = "SIGTERM", by: Operator | None = None) -> None:
        try:
            value = number(signal)
        except ValueError as error:
            raise RequestError("invalid", str(error)) from error
        await self._each(name, "kill", by, lambda keeper: self._signal(keeper, value, by))

    def stop_asked(self, by: Operator) -> None:
        """Put on record who stops the whole supervisor, or say why it cannot be stopped."""
        self._refuse_if_helpless()
        self._ports.journal.record("info", "operator.request", action="stop", operator=by._asdict())
        self._stopper = by

    async def shutdown(self, now: bool = False) -> None:
        """Stop all and return when all rest; `now` kills, also what an earlier call waits for."""
        self._closing = True

        async def stop(keeper: Keeper) -> None:
            await answer(keeper, Ask(StopAsked("supervisor"), rests, self._stopper))

        if not now:
            await self._order.close(stop)
            return
        asks = []
        for keeper in self._keepers.values():
            asks.append(Ask(StopAsked("supervisor-now"), rests, self._stopper))
            keeper.put(asks[-1])
        for ask in asks:
            await ask.answered.wait()

    async def begin(
        self, keeper: Keeper, event: StartAsked | RestartAsked, by: Operator | None = None
    ) -> None:
        """Returns when it runs and is ready; what it requires is started too."""
        for name in self._order.required(keeper.name):
            await answer(self._keepers[name], Ask(StartAsked("dependant"), anything, by))
        if isinstance(event, RestartAsked):
            async with self._order.down(keeper.name):
                machine = await answer(keeper, Ask(event, decided, by))
        else:
            machine = await answer(keeper, Ask(event, decided, by))
        if machine.state == "running":
            return
        why = keeper.memory.launch_failure or machine.reason or f"it is {machine.state}"
        if machine.state == "stopped":
            why = "it was stopped meanwhile"
        later = {"backoff": "; it will be tried again", "waiting": "; it starts once that has changed"}
        again = later.get(machine.state, "")
        raise RequestError("failed", f"{keeper.name} did not start: {why}{again}")

    def refuse_changes(self) -> None:
        """Raise when nothing can be changed."""
        self._refuse_if_closing()
        self._refuse_if_helpless()

    # ── how ────────────────────────────────────────────────────────────────────────────

    def _refuse_if_helpless(self) -> None:
        if self._ports.launcher.lost:
            raise RequestError(
                "unavailable",
                "the helper is gone; containers and logs go on: `supervisor start CONFIG` takes them over",
            )

    def _refuse_if_closing(self) -> None:
        if self._closing:
            raise RequestError("unavailable", "the supervisor is stopping")

    async def _each(
        self, name: str, action: str, by: Operator | None, do: Callable[[Keeper], Awaitable[None]]
    ) -> None:
        """The same to every replica at once; what went wrong with some is told of all."""
        self._refuse_if_helpless()
        keepers, failures = named(self._keepers, name), list[RequestError]()
        if by is not None:
            for keeper in keepers:
                self._ports.journal.record(
                    "info", "operator.request", keeper.name, keeper.machine.run or None,
                    action=action, operator=by._asdict(),
                )  # fmt: skip

        async def one(keeper: Keeper) -> None:
            try:
                await do(keeper)
            except RequestError as error:
                failures.append(error)

        async with trio.open_nursery() as nursery:
            for keeper in keepers:
                nursery.start_soon(one, keeper)
        if failures:
            raise RequestError(failures[0].code, "; ".join(sorted(error.detail for error in failures)))

    async def _stop(self, keeper: Keeper, event: StopAsked, by: Operator | None) -> None:
        async with self._order.down(keeper.name):
            machine = await answer(keeper, Ask(event, stopped, by))
        if machine.state not in RESTING:
            raise RequestError("conflict", f"{keeper.name} was asked to start again before it had stopped")

    async def _signal(self, keeper: Keeper, signal: int, by: Operator | None) -> None:
        machine = keeper.machine
        if machine.state not in LIVE:
            raise RequestError("conflict", f"{keeper.name} is {machine.state}: nothing to signal")
        self._ports.journal.record(
            "info", "container.signalled", keeper.name, machine.run, signal=signal, by="operator"
        )
        keeper.heard(
            "container.signalled", machine.run, {"signal": signal, "operator": by._asdict() if by else None}
        )
        try:
            await self._ports.launcher.signal(keeper.name, machine.run, signal)
        except HelperError as error:
            raise RequestError("unavailable", f"{keeper.name} could not be signalled: {error}") from error


def named(keepers: Mapping[str, Keeper], name: str) -> list[Keeper]:
    """The container of this name, or all replicas of it."""
    if name in keepers:
        return [keepers[name]]
    found = [keeper for keeper in keepers.values() if keeper.spec.service == name]
    if found:
        return found
    words = {word: None for keeper in keepers.values() for word in (keeper.spec.service, keeper.name)}
    near = get_close_matches(name, list(words), 1)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    raise RequestError("not-found", f'there is no container "{name}"{hint}')
