"""Holds: what cannot be written waits in the pipe, once said and never lost."""

from __future__ import annotations

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
import trio

from supervisor.logs import store

if TYPE_CHECKING:
    from supervisor.logs.archive import Archive
    from supervisor.logs.capture import Capture
    from tests.unit.logs.conftest import Rig


def test_a_full_disk_makes_output_wait_and_loses_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    class Disk:
        full = True

        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, fd: int, data: bytes) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return os.write(fd, data)

    disk = Disk()
    monkeypatch.setattr(store, "os", disk)

    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        capture.attach("b", 1)
        rig.feed(b"one\n")
        rig.feed(b"two\n", name="b")
        await rig.journal.seen("logs.paused")
        rig.feed(b"three\n")
        await trio.sleep(10)
        assert (capture.waiting("a"), capture.waiting("b")) == (10, 4)
        disk.full = False
        await rig.journal.seen("logs.resumed")
        await rig.until(archive, lambda: len(rig.records("a")) == 2)
        assert capture.waiting("a") == 0

    rig.live(work, mock=True)
    assert (rig.printed("a"), rig.printed("b")) == (b"one\nthree\n", b"two\n")
    assert rig.journal.events() == ["logs.paused", "logs.resumed"]
    assert rig.journal.entries[0][1]["errno"] == errno.ENOSPC


def test_drain_waits_for_room(rig: Rig) -> None:
    os.rename(f"{rig.root}/log/a", f"{rig.root}/log/elsewhere")
    rig.feed(b"one\ntwo")

    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(capture.drain, "a")
            await rig.journal.seen("logs.paused")
            os.rename(f"{rig.root}/log/elsewhere", f"{rig.root}/log/a")

    rig.live(work, mock=True)
    assert rig.printed() == b"one\ntwo\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a tmpfs of 64 KiB")
def test_a_really_full_disk(make_rig: type[Rig]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def mount(path: bytes, flags: int, data: bytes) -> None:
        assert libc.mount(b"tmpfs", path, b"tmpfs", flags, data) == 0, os.strerror(ctypes.get_errno())

    lines = b"".join(b"line %d\n" % n for n in range(5000))

    def child() -> None:
        assert libc.unshare(0x20000) == 0  # CLONE_NEWNS
        assert libc.mount(None, b"/", None, 0x44000, None) == 0  # MS_REC | MS_PRIVATE
        path = f"{rig.root}/log".encode()
        mount(path, 0, b"size=64k")
        os.mkdir(path + b"/a")
        rig.log_dir = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

        async def work(capture: Capture, archive: Archive) -> None:
            capture.attach("a", 1)
            rig.feed(lines[:30_000])
            await rig.journal.seen("logs.paused")
            kept = rig.printed()
            assert lines.startswith(kept)
            assert capture.waiting("a") == 30_000 - len(kept)
            mount(path, 0x20, b"size=4m")  # MS_REMOUNT
            await rig.journal.seen("logs.resumed")
            await capture.drain("a")
            rig.feed(lines[30_000:])
            await capture.drain("a")

        rig.live(work, mock=True)
        got = rig.printed()
        assert got[:30_000].rstrip(b"\n") == lines[:30_000].rstrip(b"\n")
        assert got.replace(b"\n", b"") == lines.replace(b"\n", b"")

    with make_rig() as rig:
        pid = rig.in_child(child)
        assert os.waitpid(pid, 0)[1] == 0
