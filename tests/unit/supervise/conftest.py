"""Fakes at the ports of supervision, and a fleet that runs among them on a mock clock."""

import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from supervisor.core.events import Json
from supervisor.core.spec import Configuration, Container, Group, Logs, Restart, Settings
from supervisor.errors import HelperError
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.ledger import Ledger
from supervisor.supervise.ports import Cgroup, Ended, NotStarted, Reading, Started

EPOCH = 1_700_000_000.0


class Killed(BaseException):
    """SIGKILL: nobody catches it."""


class Host:
    """The helper, the kernel, the log and the journal in one; `calls` is everything that was asked.

    A launch succeeds unless `launches[name]` says "fail", "hold" or "unlinked"; a signal ends the
    run unless `deaf`; a kill always does. `crowded`: no launch can be asked for without waiting.
    """

    lost = False
    crowded = False

    def __init__(self, folder: int) -> None:
        self.calls: list[str] = []
        self.records: list[dict[str, Any]] = []
        self.launches: dict[str, str] = {}
        self.deaf = False
        self.broken: dict[str, Exception] = {}
        self.readings: dict[str, Reading] = defaultdict(Reading)
        self.alive: dict[str, int] = {}
        self.fleet: Fleet
        self.since = 0.0
        self.awaited: list[tuple[str, int, trio.Event]] = []
        self.ledger = Ledger(folder, self.wall)
        self.last_runs: dict[str, int] = {}  # on record, by container
        self.dies_at: tuple[int, bool] | None = (
            None  # so many records; at the next: whether it is written still
        )

    def wall(self) -> float:
        return EPOCH + self.since + trio.current_time()

    def note(self, what: str, *rest: object) -> None:
        self.calls.append(" ".join(map(str, (what, *rest))))
        if what in self.broken:
            raise self.broken[what]

    def did(self, what: str) -> list[str]:
        return [call for call in self.calls if call.split()[0] == what]

    def events(self, name: str | None = None) -> list[str]:
        return [record["event"] for record in self.records if name in {None, record["container"]}]

    def of(self, event: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["event"] == event]

    async def seen(self, event: str, times: int) -> None:
        """Until it has been recorded so often."""
        if len(self.of(event)) < times:
            self.awaited.append((event, times, trio.Event()))
            await self.awaited[-1][2].wait()

    # ── launcher ──

    def launch_now(self, name: str, run: int) -> bool:
        if self.crowded or "launch" in self.broken or self.launches.get(name) == "unlinked":
            return False
        self._launch(name, run)
        return True

    async def launch(self, name: str, run: int) -> None:
        await trio.lowlevel.checkpoint()
        self._launch(name, run)

    def _launch(self, name: str, run: int) -> None:
        self.note("launch", name, run)
        match self.launches.get(name):
            case "fail":
                self.fleet.deliver(NotStarted(name, run, "exec", 2, "/bin/nope", "no such file"))
            case "unlinked":
                raise HelperError("the link to the helper is down")
            case "hold":
                self.alive[name] = run
            case _:
                self.alive[name] = run
                self.fleet.deliver(self.started(name, run))

    def started(self, name: str, run: int, adopted: bool = False) -> Started:
        return Started(name, run, 1000 + run, 2.5, Cgroup(f"/cg/{name}", f"/cg/{name}"), adopted)

    async def signal(self, name: str, run: int, signal: int) -> None:
        await trio.lowlevel.checkpoint()
        self.note("signal", name, run, signal)
        if not self.deaf:
            self.end(name, signal=signal)

    async def kill(self, name: str, run: int) -> None:
        await trio.lowlevel.checkpoint()
        self.note("kill", name, run)
        self.end(name, signal=9)

    async def remove(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        self.note("remove", name)

    def end(self, name: str, code: int | None = None, signal: int | None = None) -> None:
        run = self.alive.pop(name, None)
        if run is not None:
            self.fleet.deliver(Ended(name, run, code, signal))

    # ── journal ──

    def together(self) -> AbstractContextManager[None]:
        return nullcontext()

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None:
        if self.dies_at == (len(self.records), False):
            raise Killed("killed")
        self.records.append({"level": level, "event": event, "container": container, "run": run, **fields})
        for awaited, times, reached in self.awaited:
            if len(self.of(awaited)) >= times:
                reached.set()
        if self.dies_at == (len(self.records), True):
            raise Killed("killed")
        if f"record {event}" in self.broken:
            raise self.broken.pop(f"record {event}")

    # ── log ──

    def place(self) -> tuple[str, int, int]:
        return "", len(self.records), 0

    def behind(self, place: tuple[str, int, int], count: int) -> list[dict[str, Any]] | None:
        found = self.records[place[1] :][:count]
        head = {"container", "run"}
        kept = [
            {key: value for key, value in one.items() if key not in head or value is not None}
            for one in found
        ]
        return msgspec.json.decode(msgspec.json.encode(kept), type=list[dict[str, Any]])

    def waiting(self, _container: str, _events: str) -> list[dict[str, Any]]:
        return []


class FakeOutput:
    def __init__(self, host: Host) -> None:
        self.host = host

    def attach(self, name: str, run: int) -> None:
        self.host.note("output.attach", name, run)

    async def drain(self, name: str) -> None:
        await trio.lowlevel.checkpoint()
        self.host.note("output.drain", name)

    def detach(self, name: str) -> None:
        self.host.note("output.detach", name)

    def last_run(self, name: str) -> int:
        return self.host.last_runs.get(name, 0)

    def waiting(self, name: str) -> int:
        return 7


class FakeKernel:
    def __init__(self, host: Host) -> None:
        self.host = host

    def attach(self, name: str, run: int, cgroup: Cgroup) -> None:
        self.host.note("kernel.attach", name, run, cgroup.unified)

    def detach(self, name: str) -> Reading:
        self.host.note("kernel.detach", name)
        return self.host.readings[name]

    def release(self, name: str) -> None:
        self.host.note("kernel.release", name)

    def latest(self, name: str) -> Reading | None:
        return self.host.readings.get(name)


Main = Callable[[Host, Fleet], Awaitable[None]]


class Stage:
    """Runs one supervisor after another over the same ledger."""

    def __init__(self, folder: int) -> None:
        self.folder = folder
        self.host = Host(folder)

    def play(
        self, main: Main, *containers: Container, later: float = 0.0, groups: tuple[Group, ...] = ()
    ) -> Host:
        """`later`: seconds of wall clock since the previous supervisor began."""
        host = self.host
        host.since = later

        async def whole() -> None:
            settings = Settings(Logs("/logs"))
            specs = containers or (web(),)
            ports = (host, FakeOutput(host), FakeKernel(host), host)
            host.fleet = Fleet(
                Configuration(settings, specs, groups),
                *ports,
                host.ledger,
                log=host,
                wall=host.wall,
                uniform=lambda: 0.5,
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(host.fleet.run)
                await main(host, host.fleet)
                nursery.cancel_scope.cancel()

        trio.run(whole, clock=trio.testing.MockClock(autojump_threshold=0))
        return host


def web(name: str = "web", policy: Any = "always", **more: Any) -> Container:
    return Container(name, "/srv", ("/bin/web",), **{"service": name, "restart": Restart(policy), **more})


@pytest.fixture
def stage(tmp_path: Any) -> Iterator[Stage]:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Stage(folder)
    os.close(folder)


@pytest.fixture
def make() -> Callable[..., Container]:
    return web
