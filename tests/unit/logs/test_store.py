"""Holds: a store never shows half a batch, never overwrites a segment, and keeps few files open."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest
import trio

from supervisor.logs import segments, store
from supervisor.logs.stamp import file_stem, stamp

if TYPE_CHECKING:
    from tests.unit.logs.conftest import Rig


def record(number: int, ts: str) -> bytes:
    return b'{"ts":"%b","n":%d}\n' % (ts.encode(), number)


def content(rig: Rig) -> bytes:
    with open(f"{rig.root}/log/a/current.jsonl", "rb") as file:
        return file.read()


def test_a_full_segment_is_named_after_its_first_record(rig: Rig) -> None:
    rig.segment = 100
    a = rig.archive().store("a")
    first, second = stamp(1000.5), stamp(2000.25)
    a.write(record(1, first), first)
    a.write(record(2, second), second)
    a.write(record(3, second), second)
    assert segments.closed(rig.log_dir, "a") == ["1970-01-01T00-16-40.500000Z"]
    assert content(rig) == record(3, second)


def test_a_segment_is_closed_when_it_is_too_old(rig: Rig) -> None:
    a = rig.archive(segment_age=60.0).store("a")
    for number, moment in enumerate((1000.0, 1059.0, 1061.0)):
        a.write(record(number, stamp(moment)), stamp(moment))
    assert segments.closed(rig.log_dir, "a") == [file_stem(stamp(1000.0))]


def test_a_clock_that_goes_back_neither_overwrites_nor_reorders(rig: Rig) -> None:
    rig.segment = 1
    a = rig.archive().store("a")
    for number, moment in enumerate((1000.0, 1000.0, 500.0, 2000.0, 3000.0)):
        a.write(record(number, stamp(moment)), stamp(moment))
    assert [each["n"] for each in rig.records()] == [0, 1, 2, 3, 4]


def test_a_torn_last_line_is_cut_when_opened(rig: Rig) -> None:
    path = f"{rig.root}/log/a/current.jsonl"
    for torn in (b"half", b"x" * 200_000, b"\0" * 70_000):
        with open(path, "wb") as file:
            file.write(b"whole\n" + torn)
        assert rig.archive().store("a").place().size == len(b"whole\n")


def test_files_are_readable_by_the_group_only(rig: Rig) -> None:
    rig.archive().store("a").write(b"x\n", stamp())
    assert os.stat(f"{rig.root}/log/a/current.jsonl").st_mode & 0o777 == 0o640


def test_a_write_that_fails_half_way_leaves_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    a = rig.archive().store("a")
    a.write(b"before\n", stamp())

    class FullDisk:
        def __getattr__(self, name: str) -> Any:
            return getattr(os, name)

        def write(self, fd: int, data: bytes) -> int:
            if len(data) < 5:
                raise OSError(errno.ENOSPC, "full")
            return os.write(fd, data[: len(data) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(store, "os", FullDisk())
        with pytest.raises(OSError, match="full"):
            a.write(b"one\ntwo\nthree\nfour\n", stamp())
    assert content(rig) == b"before\n"
    a.write(b"after\n", stamp())
    assert content(rig) == b"before\nafter\n"


def test_a_deleted_file_is_made_anew(rig: Rig) -> None:
    a = rig.archive().store("a")
    a.write(b"gone\n", stamp())
    os.unlink(f"{rig.root}/log/a/current.jsonl")
    a.write(b"here\n", stamp())
    assert content(rig) == b"here\n"


def test_few_files_are_open_however_many_stores(make_rig: type[Rig]) -> None:
    names = tuple(f"c{n}" for n in range(20))
    with make_rig(names=names) as rig:
        archive = rig.archive(open_files=3)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            for name in names:
                archive.store(name).write(b"x\n", stamp())
        assert len(os.listdir("/proc/self/fd")) == before + 3
        archive.close()
        for name in names:
            with open(f"{rig.root}/log/{name}/current.jsonl", "rb") as file:
                assert file.read() == b"x\n" * 3


def test_whoever_subscribes_is_woken_by_the_next_append(rig: Rig) -> None:
    async def main() -> None:
        archive = rig.archive()
        one, everything, other = archive.store("a").subscribe(), archive.subscribe(), archive.subscribe("b")
        archive.store("a").write(b"x\n", stamp())
        with trio.fail_after(60):
            await one.wait()
            await everything.wait()
        assert not other.is_set()

    trio.run(main)
