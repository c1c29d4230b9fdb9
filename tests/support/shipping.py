"""A log directory with a real archive, sinks that ship it, and a receiver of HTTP that may be down, hang or refuse."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import h11
import msgspec
import pytest
import trio

from supervisor.core.backoff import Backoff
from supervisor.core.sinks import Sink
from supervisor.logs import frames, segments
from supervisor.logs.archive import Archive
from supervisor.logs.stamp import stamp
from supervisor.ship import carriers
from supervisor.ship.folders import Folders
from supervisor.ship.sinks import Sinks
from tests.support.running import PATIENCE

if TYPE_CHECKING:
    from supervisor.core.events import Json

BRISK: dict[str, Any] = {"linger": 0.01, "timeout": 60.0, "backoff": Backoff(0.01, 2, 0.05, 0)}


class Logs:
    """Records of containers "a" and "b" and of the supervisor, written one by one."""

    def __init__(self, segment: int = 1 << 20) -> None:
        self.root = tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
        for name in ("a", "b", "supervisor"):
            os.mkdir(f"{self.root}/{name}")
        self.log_dir = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        self.archive = Archive(self.log_dir, segment=segment)
        self.names = ["a", "b"]
        self.clock = 1_000_000.0
        self.seqs: dict[tuple[str, int, str], int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.archive.close()
        os.close(self.log_dir)
        shutil.rmtree(self.root)

    def ts(self) -> str:
        self.clock += 0.001
        return stamp(self.clock)

    def output(self, name: str, line: str, *, run: int = 1, stream: str = "stdout", **more: Any) -> None:
        key = name, run, stream
        self.seqs[key] = self.seqs.get(key, 0) + 1
        head = {"ts": self.ts(), "level": "info", "event": "output", "container": name, "run": run}
        self.put(name, head | {"stream": stream, "seq": self.seqs[key], "line": line} | more)

    def lines(self, name: str, count: int, **more: Any) -> None:
        for number in range(count):
            self.output(name, f"line {number}", **more)

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None:
        head = {"ts": self.ts(), "level": level, "event": event, "container": container, "run": run}
        self.put("supervisor", {key: value for key, value in head.items() if value is not None} | fields)

    def put(self, name: str, record: dict[str, Any]) -> None:
        self.archive.store(name).write(msgspec.json.encode(record) + b"\n", record["ts"])

    def events(self, event: str) -> list[dict[str, Any]]:
        path = f"{self.root}/supervisor/current.jsonl"
        if not os.path.exists(path):
            return []
        with open(path, "rb") as file:
            found = [msgspec.json.decode(line) for line in file]
        return [one for one in found if one["event"] == event]

    def compress(self, name: str, stem: str) -> None:
        """As retention does: the twin, then the plain one goes."""
        path = f"{self.root}/{name}/{stem}"
        with open(f"{path}.jsonl", "rb") as file:
            lines = file.readlines()
        with open(f"{path}.jsonl.zst", "wb") as file:
            file.writelines(
                frames.pack(frames.FORMATS[0], [b"".join(lines[n : n + 3]) for n in range(0, len(lines), 3)])
            )
        os.unlink(f"{path}.jsonl")

    def closed(self, name: str) -> list[str]:
        return segments.closed(self.log_dir, name)

    def drop(self, name: str, stem: str) -> None:
        for suffix in (".jsonl", ".jsonl.zst"):
            if os.path.exists(f"{self.root}/{name}/{stem}{suffix}"):
                os.unlink(f"{self.root}/{name}/{stem}{suffix}")

    # ── shipped ────────────────────────────────────────────────────────────────────────

    def folders(self) -> Folders:
        return Folders(self.log_dir, lambda: self.names, self.archive.subscribe)

    @asynccontextmanager
    async def shipping(self, **sinks: Sink) -> AsyncIterator[Sinks]:
        bugs: list[BaseException] = []
        made = Sinks(sinks, self.folders(), self.record, bugs.append, carriers.make)
        async with trio.open_nursery() as nursery:
            await nursery.start(made.run)
            yield made
            nursery.cancel_scope.cancel()
        assert not bugs, bugs

    async def told(self, event: str) -> dict[str, Any]:
        """Wait for a record of the supervisor."""
        while True:
            news = self.archive.subscribe("supervisor")
            if found := self.events(event):
                return found[0]
            await news.wait()


@pytest.fixture
def logs() -> Iterator[Logs]:
    with Logs() as made:
        yield made


class Receiver:
    """Speaks HTTP on a port of its own. `answer` makes the status and body of each request; None hangs."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.requests: list[h11.Request] = []
        self.answer: Callable[[bytes], tuple[int, bytes] | None] = lambda _: (204, b"")
        self.port = 0
        self.asked = trio.Event()
        self._news = trio.Event()

    @asynccontextmanager
    async def listening(self, port: int = 0) -> AsyncIterator[Receiver]:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(trio.serve_tcp, self._hear, port)
            self.port = listeners[0].socket.getsockname()[1]
            yield self
            nursery.cancel_scope.cancel()

    async def _hear(self, stream: trio.SocketStream) -> None:
        """A sink may end in the midst of what it says."""
        with suppress(trio.BrokenResourceError):
            await self._serve(stream)

    def sink(self, **keys: Any) -> Sink:
        return Sink(
            type="http",
            url=f"http://127.0.0.1:{self.port}/in?x=1",
            host="here",
            fields=(("host", "here"),),
            **(BRISK | keys),
        )

    def records(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for body in self.bodies for line in body.splitlines()]

    def lines(self, name: str | None = None) -> list[str]:
        return [one["line"] for one in self.records() if "line" in one and name in (None, one["container"])]

    async def until(self, holds: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not holds():
                await self._news.wait()

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER)
        body = bytearray()
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                if not (data := bytes(await stream.receive_some(1 << 16))):
                    return
                connection.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                break
        if request is None:
            return
        self.asked.set()
        answer = self.answer(bytes(body))
        if answer is None:
            await trio.sleep_forever()
        assert answer
        status, said = answer
        if status < 300:
            self.bodies.append(bytes(body))
            self.requests.append(request)
        head = connection.send(h11.Response(status_code=status, headers=[("Content-Length", str(len(said)))]))
        text = connection.send(h11.Data(data=said))
        end = connection.send(h11.EndOfMessage())
        await stream.send_all((head or b"") + (text or b"") + (end or b""))
        news, self._news = self._news, trio.Event()
        news.set()


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


async def until(holds: Callable[[], bool]) -> None:
    """Where nothing tells of it."""
    while not holds():  # noqa: ASYNC110
        await trio.sleep(0.005)


def shipped(sinks: Sinks, name: str = "web") -> int:
    return next((one["shipped"] for one in sinks.status() if one["name"] == name), 0)


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(PATIENCE):
            await main()

    trio.run(bounded)


@pytest.fixture(scope="session")
def make_logs() -> type[Logs]:
    return Logs
