"""A real server on a real Unix socket in a thread; the fleet and the records behind it are fakes."""

import os
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager, suppress
from typing import Any

import pytest
import trio

from supervisor.api import schema, server
from supervisor.api.handlers import Api, application
from supervisor.api.limits import LIMITS, Limits
from supervisor.api.operators import Operators
from supervisor.core.operator import Operator
from supervisor.errors import RequestError


def container(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "state": "running",
        "ready": True,
        "healthy": None,
        "pid": 4711,
        "run": 3,
        "restarts": 2,
        "started_at": "2026-11-24T03:00:00.000000Z",
        "exit": {"code": 1, "signal": None, "oom": False, "reason": "exit"},
        "cgroup": f"/sys/fs/cgroup/supervisor/{name}",
        "cpu": {
            "usage_usec": 1_000_000,
            "nr_periods": 100,
            "nr_throttled": 45,
            "throttled_usec": 9_000,
            "quota_usec": 10_000,
            "period_usec": 100_000,
            "percent": 9.8,
            "throttled_percent": 45.0,
        },
        "memory": {"current": 12_345_678, "max": 67_108_864, "oom_kill": 0},
        "uptime_s": 3725.5,
        "output_waiting": 0,
        **more,
    }


class FakeFleet:
    """Containers by name; `refuse` maps an act ("start web") to the error it meets."""

    def __init__(self, *containers: dict[str, Any]) -> None:
        self.containers = {each["name"]: each for each in containers}
        self.refuse: dict[str, BaseException] = {}
        self.calls: list[tuple[str, ...]] = []
        self.by: list[Operator] = []

    async def _do(self, act: str, name: str, by: Operator, *more: str) -> None:
        self.calls.append((act, name, *more))
        self.by.append(by)
        await trio.lowlevel.checkpoint()
        self._find(name)
        if error := self.refuse.get(f"{act} {name}"):
            raise error

    def _find(self, name: str) -> dict[str, Any]:
        if name not in self.containers:
            raise RequestError("not-found", f'no container is called "{name}"')
        return self.containers[name]

    async def start(self, name: str, by: Operator) -> None:
        await self._do("start", name, by)

    async def stop(self, name: str, by: Operator) -> None:
        await self._do("stop", name, by)

    async def restart(self, name: str, by: Operator) -> None:
        await self._do("restart", name, by)

    async def kill(self, name: str, signal: str, by: Operator) -> None:
        await self._do("kill", name, by, signal)

    def status(self, names: Sequence[str] = ()) -> list[dict[str, Any]]:
        if error := self.refuse.get("status"):
            raise error
        if tuple(names) == ("service",):  # as if it had replicas
            return list(self.containers.values())
        return [self._find(name) for name in names or self.containers]

    def inspect(self, name: str) -> dict[str, Any]:
        return {**self._find(name), "config": {"command": ["/bin/true"]}}

    def why(self, name: str, runs: int | None = None) -> dict[str, Any]:
        self._find(name)
        told: list[dict[str, Any]] = [{"run": run, "ended_at": None, "output": []} for run in (3, 2, 1)][
            :runs
        ]
        return {
            "name": name,
            "summary": f"{name} is running",
            "slow": None,
            "at": "",
            "state": "running",
            "runs": told,
        }


class FakeReload:
    """`plan` is what it answers, unless there is an `error`."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {
            "added": ["web.3"],
            "removed": ["old"],
            "restarted": [{"name": "web", "keys": ["command", "env.A"]}],
            "changed": [{"name": "db", "keys": ["cgroup.cpu.max"]}],
            "settings": ["monitor.interval", "group.app.members"],
        }
        self.error: RequestError | None = None
        self.by: list[Operator | None] = []

    async def plan(self) -> dict[str, Any]:
        await trio.lowlevel.checkpoint()
        if self.error:
            raise self.error
        return self.answer

    async def reload(self, by: Operator) -> dict[str, Any]:
        self.by.append(by)
        return {"failed": {}} | await self.plan()


class FakeRecords:
    """`chunks` are what is on disk; following them, `more` is asked for what comes after."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = list(chunks)
        self.asked: list[dict[str, Any]] = []
        self.more: Callable[[], AsyncGenerator[bytes]] | None = None
        self.error: BaseException | None = None
        self.closed = threading.Event()

    def last_words(self, name: str, run: int, ended_at: str | None) -> list[dict[str, Any]]:
        return [{"ts": "", "stream": "stdout", "line": f"{name} {run} {ended_at}"}]

    async def read(self, names: Sequence[str], **options: Any) -> AsyncGenerator[bytes]:
        self.asked.append({"names": tuple(names), **options})
        try:
            for chunk in self.chunks:
                await trio.lowlevel.checkpoint()
                yield chunk
            if self.error:
                raise self.error
            if options["follow"] and self.more:
                async with aclosing(self.more()) as more:
                    async for chunk in more:
                        yield chunk
            elif options["follow"]:
                await trio.sleep_forever()
        finally:
            self.closed.set()


class Served:
    """A running server: its runtime dir, the fakes behind it, and the errors it reported as its own."""

    def __init__(
        self,
        folder: str,
        fleet: FakeFleet,
        records: FakeRecords,
        limits: Limits = LIMITS,
        operators: Operators | None = None,
    ) -> None:
        self.folder = folder
        self.path = os.path.join(folder, "api.sock")
        self.fleet = fleet
        self.records = records
        self.reload = FakeReload()
        self.errors: list[BaseException] = []
        self.refused: list[Operator] = []
        self.door = server.Door(operators or Operators.here(None), limits, self.refused.append)
        self.stopped = threading.Event()
        self._ready = threading.Event()
        self._token: trio.lowlevel.TrioToken
        self._closing: trio.Event

    async def _main(self) -> None:
        self._closing = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self.info = info = schema.Info(
            "0.1.0", self.folder, "/logs", os.getpid(), "2026-11-24T03:00:00.000000Z"
        )
        api = Api(self.fleet, self.records, self.reload, info, self._stop, self._closing, self.errors.append)
        sock = server.bind(self.folder)
        async with trio.open_nursery() as nursery:
            closing, report = self._closing, self.errors.append
            await nursery.start(
                lambda **kw: server.serve(application(api), sock, self.door, closing, report=report, **kw)
            )
            self._ready.set()

    def _stop(self, by: Operator) -> None:
        self.fleet.by.append(by)
        self.stop()

    def stop(self) -> None:
        self.stopped.set()
        self._closing.set()

    @contextmanager
    def running(self) -> Iterator["Served"]:
        thread = threading.Thread(target=trio.run, args=(self._main,))
        thread.start()
        try:
            assert self._ready.wait(60)
            yield self
        finally:
            with suppress(trio.RunFinishedError):
                self._token.run_sync_soon(self._closing.set)
            thread.join(60)
            assert not thread.is_alive(), "the server did not end"


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as path:
        yield path


def _served(folder: str, limits: Limits = LIMITS) -> Served:
    fleet = FakeFleet(container("web"), container("db", state="stopped", pid=None))
    records = FakeRecords(b'{"line":"1"}\n{"line":"2"}\n', b'{"line":"3"}\n')
    return Served(folder, fleet, records, limits)


@pytest.fixture
def few(folder: str) -> Iterator[Served]:
    """A server with room for few."""
    with _served(folder, Limits(each=5)).running() as it:
        yield it


@pytest.fixture
def hasty(folder: str) -> Iterator[Served]:
    """A server that waits for no head."""
    with _served(folder, Limits(head=0.2)).running() as it:
        yield it


@pytest.fixture
def strict(folder: str) -> Iterator[Served]:
    """A server that waits for no reader."""
    with _served(folder, Limits(unread=0.2)).running() as it:
        yield it


@pytest.fixture
def served(folder: str) -> Iterator[Served]:
    with _served(folder).running() as it:
        yield it
