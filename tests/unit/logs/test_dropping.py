"""Holds: lines are dropped only where the operator said so, and what was dropped is on record, whoever was killed."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from supervisor.core import spec
from supervisor.logs import intake, store

if TYPE_CHECKING:
    from supervisor.logs.archive import Archive
    from supervisor.logs.capture import Capture
    from tests.unit.logs.conftest import Rig


class Disk:
    """`os`, of a disk that may be full."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)


class KilledError(BaseException):
    """SIGKILL: nobody catches it."""


class Killed:
    """`os`, whose caller is killed as soon as it wants to read."""

    def read(self, fd: int, count: int) -> bytes:
        raise KilledError


def lines(rig: Rig) -> list[str]:
    return [each["line"] for each in rig.records() if each["event"] == "output"]


def losses(rig: Rig) -> list[tuple[str, int, int, str]]:
    return [
        (each["stream"], each["lines"], each["bytes"], each["reason"])
        for each in rig.records()
        if each["event"] == "output.dropped"
    ]


def test_lines_beyond_the_rate_are_dropped_where_they_would_stand_and_counted(rig: Rig) -> None:
    rig.output = spec.Output(rate=3.0)
    printed = b"".join(b"%d\n" % n for n in range(10))

    async def main() -> None:
        with rig.capture() as capture:
            capture.attach("a", 1)
            for _ in range(2):
                rig.feed(printed)
                await capture.drain("a")
                await trio.sleep(1)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert [each.get("line", each["event"]) for each in rig.records()] == [
        "0", "1", "2", "output.dropped", "0", "1", "2", "output.dropped",
    ]  # fmt: skip
    assert losses(rig) == [("stdout", 7, 14, "rate")] * 2
    assert [each["seq"] for each in rig.records() if "seq" in each] == [1, 2, 3, 4, 5, 6]


def test_both_streams_share_the_rate_and_other_containers_do_not(rig: Rig) -> None:
    rig.output = spec.Output(rate=2.0)

    async def main() -> None:
        with rig.capture() as capture:
            for name in ("a", "b"):
                capture.attach(name, 1)
            rig.feed(b"1\n")
            rig.feed(b"2\n3\n", stream="stderr")
            rig.feed(b"4\n5\n", name="b")
            for name in ("a", "b"):
                await capture.drain(name)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert lines(rig) == ["1", "2"]
    assert losses(rig) == [("stderr", 1, 2, "rate")]
    assert [each["line"] for each in rig.records("b")] == ["4", "5"]


def test_a_line_without_end_is_dropped_as_a_whole(rig: Rig) -> None:
    rig.output = spec.Output(rate=1.0, max_line=300)

    async def main() -> None:
        with rig.capture() as capture:
            capture.attach("a", 1)
            rig.feed(b"one\n")
            await capture.drain("a")
            rig.feed(b"x" * 1000)
            while capture._try(capture._fifos["a"][0]):
                pass
            rig.feed(b"x" * 10 + b"\nmore")
            await trio.sleep(5)
            rig.feed(b" and more\n")
            await capture.drain("a")

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert lines(rig) == ["one", "more and more"]
    assert losses(rig) == [("stdout", 1, 1000, "rate"), ("stdout", 0, 11, "rate")]


def test_on_a_full_disk_output_is_dropped_if_the_operator_says_so(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.output = spec.Output(on_full="drop")
    disk = Disk()
    monkeypatch.setattr(store, "os", disk)

    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        rig.feed(b"before\n")
        await rig.until(archive, lambda: len(rig.records()) == 1)
        disk.full = True
        rig.feed(b"one\ntwo\n")
        await rig.journal.seen("logs.paused")
        for _ in range(20):  # more than the pipe holds
            rig.feed(b"x" * 8000 + b"\n")
            await trio.sleep(0.1)
        assert capture.waiting("a") == 0
        disk.full = False
        await rig.journal.seen("logs.resumed")
        rig.feed(b"after\n")
        await rig.until(archive, lambda: len(rig.records()) == 3)

    rig.live(work, mock=True)
    assert lines(rig) == ["before", "after"]
    assert losses(rig) == [("stdout", 22, 8 + 20 * 8001, "full")]
    assert rig.journal.events() == ["logs.paused", "logs.resumed"]


def test_a_container_that_drops_ends_although_the_disk_is_full_and_its_loss_is_recorded_later(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.output = spec.Output(on_full="drop")
    disk = Disk(full=True)
    with monkeypatch.context() as patch:
        patch.setattr(store, "os", disk)
        rig.feed(b"lost\nand unfinished", stream="stderr")
        rig.drain()  # and the daemon is gone, too
    assert rig.records() == []

    async def work(capture: Capture, archive: Archive) -> None:
        await rig.until(archive, lambda: bool(rig.records()))

    rig.live(work, mock=True)
    assert losses(rig) == [("stderr", 2, 19, "full")]


def test_what_is_dropped_is_counted_before_it_goes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.output = spec.Output(on_full="drop")
    monkeypatch.setattr(store, "os", Disk(full=True))
    rig.feed(b"one\n")

    with monkeypatch.context() as patch:
        patch.setattr(intake, "os", Killed())
        with pytest.raises(KilledError):
            rig.drain()
    monkeypatch.undo()
    rig.output = spec.Output()
    rig.drain()
    assert lines(rig) == ["one"]
    assert losses(rig) == [("stdout", 1, 4, "full")]
