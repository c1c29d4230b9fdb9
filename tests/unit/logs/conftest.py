"""A run directory with real FIFOs, a log directory, and captures that may be killed in between."""

import base64
import contextlib
import ctypes
import json
import os
import shutil
import tempfile
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Self

import pytest
import trio
import trio.testing

from supervisor.core import spec
from supervisor.core.events import Json
from supervisor.logs import segments
from supervisor.logs.archive import Archive
from supervisor.logs.capture import Capture
from supervisor.logs.segment import open_segment

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.tee.restype = ctypes.c_ssize_t
LIBC.tee.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint]


def tee(source: int, target: int, length: int) -> int:
    count = int(LIBC.tee(source, target, length, 2))
    if count < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return count


class Notes:
    """A journal that remembers; `seen` waits for an event."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, dict[str, Json]]] = []
        self._news = trio.Event()

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None:
        self.entries.append((event, fields))
        self._news.set()
        self._news = trio.Event()

    def events(self) -> list[str]:
        return [event for event, _ in self.entries]

    async def seen(self, event: str) -> None:
        while event not in self.events():
            await self._news.wait()


class Rig:
    """Containers "a" and "b"; FIFOs are held open here as the containers would."""

    def __init__(self, *, segment: int = 1 << 20, names: tuple[str, ...] = ("a", "b")) -> None:
        shm = "/dev/shm"
        self.root = tempfile.mkdtemp(dir=shm if os.access(shm, os.W_OK) else None)
        self.segment = segment
        self.output = spec.Output()
        self.journal = Notes()
        self.ends: dict[tuple[str, str], int] = {}
        for name in names:
            os.makedirs(f"{self.root}/run/containers/{name}")
            os.makedirs(f"{self.root}/log/{name}")
            for stream in ("stdout", "stderr"):
                path = f"{self.root}/run/containers/{name}/{stream}"
                os.mkfifo(path)
                self.ends[name, stream] = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        os.mkdir(f"{self.root}/log/supervisor")
        os.mkdir(f"{self.root}/run/daemon")
        self.run_dir = os.open(f"{self.root}/run", os.O_RDONLY | os.O_DIRECTORY)
        self.log_dir = os.open(f"{self.root}/log", os.O_RDONLY | os.O_DIRECTORY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in (*self.ends.values(), self.run_dir, self.log_dir):
            os.close(fd)
        shutil.rmtree(self.root)

    def archive(self, **options: Any) -> Archive:
        return Archive(self.log_dir, segment=self.segment, **options)

    @contextlib.contextmanager
    def capture(self, *, recover: bool = True, archive: Archive | None = None) -> Iterator[Capture]:
        archive = archive or self.archive()
        capture = Capture(archive, self.run_dir, lambda _: self.output, self.journal, tee)
        try:
            if recover:
                capture.recover()
            yield capture
        finally:
            capture.close()
            archive.close()

    def feed(self, data: bytes, name: str = "a", stream: str = "stdout") -> None:
        assert os.write(self.ends[name, stream], data) == len(data)

    def drain(self, name: str = "a", run: int = 1) -> None:
        async def main() -> None:
            with trio.fail_after(1000):
                capture.attach(name, run)
                await capture.drain(name)

        with self.capture() as capture:
            trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    def live(self, work: Callable[[Capture, Archive], Awaitable[None]], *, mock: bool = False) -> None:
        """Do `work` while the capture runs."""

        async def main() -> None:
            archive = self.archive()
            with trio.fail_after(300 if not mock else 1e9), self.capture(archive=archive) as capture:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(capture.run)
                    await work(capture, archive)
                    nursery.cancel_scope.cancel()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0.01) if mock else None)

    async def until(self, archive: Archive, holds: Callable[[], bool]) -> None:
        """Woken by each append."""
        while True:
            news = archive.subscribe()
            if holds():
                return
            await news.wait()

    def records(self, name: str = "a") -> list[dict[str, Any]]:
        """All of them, oldest first; each must be one whole line of JSON."""
        found = []
        for entry in segments.entries(self.log_dir, name):
            segment = open_segment(self.log_dir, name, entry)
            if segment is not None:
                data = segment.pread(segment.size(), 0)
                segment.close()
                assert not data or data.endswith(b"\n")
                found += [json.loads(line) for line in data.split(b"\n")[:-1]]
        return found

    def printed(self, name: str = "a", stream: str = "stdout", run: int = 1) -> bytes:
        """What the records say was printed; `seq` must count 1, 2, …"""
        mine = [each for each in self.records(name) if (each["stream"], each["run"]) == (stream, run)]
        assert [each["seq"] for each in mine] == list(range(1, len(mine) + 1))
        return b"".join(map(printed, mine))

    def in_child(self, work: Callable[[], None]) -> int:
        """Run `work` in a forked child; its PID."""
        pid = os.fork()
        if pid:
            return pid
        try:
            work()
        except BaseException:  # noqa: BLE001
            traceback.print_exc()
            os._exit(1)
        os._exit(0)


def printed(record: dict[str, Any]) -> bytes:
    raw = base64.b64decode(record["line_b64"]) if "line_b64" in record else record["line"].encode()
    return raw + (b"" if record.get("partial") else b"\n")


@pytest.fixture(scope="session")
def make_rig() -> type[Rig]:
    return Rig


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made
