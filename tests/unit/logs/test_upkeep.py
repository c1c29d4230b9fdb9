"""Holds: closed segments are compressed and dropped beside capture; nothing that is kept is lost, and numbers go on."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from supervisor.core import spec
from supervisor.logs import compression, numbers, segments, upkeep
from supervisor.logs.aside import aside
from supervisor.logs.frames import FORMATS
from supervisor.logs.stamp import stamp
from supervisor.logs.upkeep import Upkeep

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from supervisor.logs.archive import Archive
    from supervisor.logs.capture import Capture
    from tests.unit.logs.conftest import Rig


def keeping(rig: Rig, archive: Archive, capture: Capture, **options: Any) -> Upkeep:
    logs = spec.Logs("", segment=rig.segment, **options)
    return Upkeep(
        archive, logs, lambda: ["a", "b"], rig.journal,
        settle=capture.recover, number=capture.number, die_with=lambda _: None,
    )  # fmt: skip


def live(rig: Rig, work: Callable[[Capture, Archive, Upkeep], Awaitable[None]], **options: Any) -> None:
    """Do `work` while capture and upkeep run."""

    async def both(capture: Capture, archive: Archive) -> None:
        async with trio.open_nursery() as nursery:
            kept = keeping(rig, archive, capture, **options)
            nursery.start_soon(kept.run)
            await work(capture, archive, kept)
            nursery.cancel_scope.cancel()

    rig.live(both)


async def until(holds: Callable[[], bool]) -> None:
    """What another process does wakes nobody here."""
    while not holds():  # noqa: ASYNC110
        await trio.sleep(0.005)


def entries(rig: Rig, name: str = "a") -> list[str]:
    return segments.entries(rig.log_dir, name)[:-1]


async def print_segments(rig: Rig, capture: Capture, count: int, name: str = "a") -> None:
    """So many that at least `count` are closed."""
    for n in range(count + 1):
        rig.feed(b"".join(b"%d of %d\n" % (line, n) for line in range(30)), name)
        await capture.drain(name)


@pytest.mark.parametrize(
    ("word", "suffix"), [("zstd", ".jsonl.zst"), ("gzip", ".jsonl.gz"), ("none", ".jsonl")]
)
def test_closed_segments_become_what_compress_says_and_read_the_same(
    rig: Rig, word: str, suffix: str
) -> None:
    rig.segment = 4096

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        capture.attach("a", 1)
        await print_segments(rig, capture, 4)
        await until(lambda: len(entries(rig)) >= 4 and all(each.endswith(suffix) for each in entries(rig)))

    live(rig, work, compress=word)
    expected = b"".join(b"%d of %d\n" % (line, n) for n in range(5) for line in range(30))
    assert rig.printed() == expected
    assert rig.journal.events() == []


def test_what_is_over_keep_is_dropped_oldest_first_and_said(rig: Rig) -> None:
    rig.segment = 4096

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        capture.attach("a", 1)
        await print_segments(rig, capture, 6)
        await until(lambda: len(entries(rig)) <= 2)

    live(rig, work, compress="none", keep=2 * 4096)
    lines = [each["line"] for each in rig.records()]
    everything = [f"{line} of {n}" for n in range(7) for line in range(30)]
    assert lines == everything[-len(lines) :]
    removed = [fields for event, fields in rig.journal.entries if event == "logs.removed"]
    assert sum(int(str(each["segments"])) for each in removed) >= 4


def test_what_is_older_than_keep_age_is_dropped_also_of_a_silent_container(rig: Rig) -> None:
    rig.segment = 1
    b = rig.archive().store("b")
    for ts in (stamp(1000.0), stamp(2000.0), stamp(3000.0)):
        b.write(b'{"ts":"%b"}\n' % ts.encode(), ts)
    path = f"{rig.root}/log/b/{entries(rig, 'b')[0]}"
    os.utime(path, (1000, 1000))

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        await rig.journal.seen("logs.removed")

    live(rig, work, compress="none", keep_age=86400.0, segment_age=1e12)
    assert not os.path.exists(path)
    assert len(entries(rig, "b")) == 1


def test_a_silent_containers_segment_is_closed_by_age_too(rig: Rig) -> None:
    ts = stamp(1000.0)
    rig.archive().store("a").write(b'{"ts":"%b"}\n' % ts.encode(), ts)

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        await until(lambda: bool(entries(rig)))

    live(rig, work, segment_age=60.0, compress="none")
    assert not os.path.exists(f"{rig.root}/log/b/current.jsonl")  # that of one who never printed is not made


def test_numbers_go_on_where_all_records_of_a_stream_were_dropped(rig: Rig) -> None:
    rig.segment = 4096
    rig.feed(b"one\ntwo\n", stream="stderr")

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        capture.attach("a", 1)
        await print_segments(rig, capture, 3)
        await until(lambda: len(entries(rig)) == 0)

    live(rig, work, compress="none", keep=4096 - 4000)
    assert not [each for each in rig.records() if each["stream"] == "stderr"]
    for run, seq in ((1, 3), (2, 1)):
        rig.feed(b"next\n", stream="stderr")
        rig.drain(run=run)
        assert [
            each["seq"] for each in rig.records() if each["run"] == run and each["stream"] == "stderr"
        ] == [seq]


def test_a_note_that_is_broken_or_missing_costs_a_search_and_no_more(rig: Rig) -> None:
    rig.feed(b"one\n", stream="stderr")
    rig.drain()
    numbers.write(rig.log_dir, "a", numbers.Note(1, 5, 7, "of-another-time"))
    rig.feed(b"two\n", stream="stderr")
    rig.drain()
    with open(f"{rig.root}/log/a/{numbers.FILE}", "wb") as file:
        file.write(b"{")
    rig.feed(b"three\n", stream="stderr")
    rig.drain()
    assert rig.printed(stream="stderr") == b"one\ntwo\nthree\n"


def test_less_to_keep_is_taken_up_by_a_reload(rig: Rig) -> None:
    rig.segment = 4096

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        capture.attach("a", 1)
        await print_segments(rig, capture, 4)
        assert len(entries(rig)) >= 4
        kept.configure(spec.Logs("", segment=4096, keep=0, compress="none"))
        await until(lambda: not entries(rig))

    live(rig, work, compress="none")


def test_files_of_others_are_left_alone(rig: Rig) -> None:
    theirs = ("old.jsonl", "notes.txt", "data.part", "2020.jsonl.zst")
    for entry in theirs:
        with open(f"{rig.root}/log/a/{entry}", "wb") as file:
            file.write(b"theirs\n")
    rig.segment = 4096

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        capture.attach("a", 1)
        await print_segments(rig, capture, 3)
        await rig.journal.seen("logs.removed")
        await until(lambda: len(os.listdir(f"{rig.root}/log/a")) == len(theirs) + 2)

    live(rig, work, compress="zstd", keep=0)
    assert set(os.listdir(f"{rig.root}/log/a")) == {*theirs, "current.jsonl", numbers.FILE}


def test_what_cannot_be_compressed_stays_as_it_is_and_is_said_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.segment = 4096

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(upkeep, "compress", full)

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        capture.attach("a", 1)
        await print_segments(rig, capture, 2)
        await rig.journal.seen("logs.upkeep_failed")
        monkeypatch.undo()
        await print_segments(rig, capture, 2)
        await until(lambda: all(each.endswith(".zst") for each in entries(rig)))

    live(rig, work)
    assert rig.journal.entries == [
        ("logs.upkeep_failed", {"reason": os.strerror(errno.ENOSPC), "errno": errno.ENOSPC})
    ]
    assert len(rig.records()) == 180


def children() -> list[str]:
    """Those that have ended and are not reaped, too."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


def test_a_process_aside_has_nothing_but_what_it_needs_and_ends_when_nobody_waits(rig: Rig) -> None:
    def look() -> None:
        with open("/proc/self/stat", "rb") as file:
            nice = int(file.read().rpartition(b")")[2].split()[16])
        descriptors = {int(each) for each in os.listdir("/proc/self/fd")}
        assert nice == 19
        assert descriptors <= {rig.log_dir, min(set(range(100)) - {rig.log_dir})}

    async def main() -> None:
        assert await aside(look, rig.log_dir, lambda _: None) == 0
        assert (
            await aside(
                lambda: compression.compress(rig.log_dir, "a", "no", FORMATS[0]),
                rig.log_dir,
                lambda _: None,
            )
            == errno.ENOENT
        )
        with trio.move_on_after(0.01):
            await aside(lambda: trio.run(trio.sleep, 1000), rig.log_dir, lambda _: None)

    before = children()
    trio.run(main)
    assert children() == before


@pytest.mark.parametrize("word", ["1s", "always"])
def test_sync_forces_files_and_their_names_to_the_disk(
    rig: Rig, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forced: list[int] = []
    for call in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, call, lambda fd: forced.append(os.fstat(fd).st_ino))
    rig.segment = 4096

    async def work(capture: Capture, archive: Archive, kept: Upkeep) -> None:
        capture.attach("a", 1)
        await print_segments(rig, capture, 2)
        folder = f"{rig.root}/log/a"
        wanted = {
            os.stat(folder).st_ino,
            *(os.stat(f"{folder}/{each}").st_ino for each in os.listdir(folder) if each != numbers.FILE),
        }
        if word == "always":
            assert wanted <= set(forced)
        else:
            await until(lambda: wanted <= set(forced))

    live(rig, work, compress="none", sync=word)


def test_a_record_that_is_not_sure_has_not_been_written(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    a = rig.archive(sync="always").store("a")
    a.write(b"one\n", stamp())

    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        with pytest.raises(OSError, match="broken"):
            a.write(b"two\n", stamp())
    a.write(b"three\n", stamp())
    with open(f"{rig.root}/log/a/current.jsonl", "rb") as file:
        assert file.read() == b"one\nthree\n"
