"""Holds: from any place on, every record is read once and in order, whatever became of the segments meanwhile."""

from __future__ import annotations

import os
import random
from contextlib import closing, nullcontext
from typing import TYPE_CHECKING

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.ship import batch, keep, reader
from supervisor.ship.ahead import current
from supervisor.ship.batch import Batch, Bounds
from supervisor.ship.cursor import Cursor, Place, Seen
from supervisor.ship.reader import Block, Chunk
from supervisor.ship.record import Record

if TYPE_CHECKING:
    from tests.support.shipping import Logs

WIDE = Bounds(1 << 20, 10_000)


def fetched(logs: Logs, name: str, place: Place | None, limit: int) -> Block | None:
    now = current(logs.log_dir, name)
    with closing(now) if now is not None else nullcontext():
        return reader.fetch(logs.log_dir, name, place, limit, now)


def trusted(logs: Logs, place: Place) -> Place:
    now = current(logs.log_dir, "a")
    with closing(now) if now is not None else nullcontext():
        return reader.trusted(logs.log_dir, "a", place, now)


def read(logs: Logs, name: str, place: Place | None, bounds: Bounds) -> Chunk | None:
    block = fetched(logs, name, place, bounds.bytes)
    return None if block is None else reader.choose(block, place, lambda _: True, bounds.records)


def gather(logs: Logs, names: list[str], cursor: Cursor, bounds: Bounds, *, wanted: bool = True) -> Batch:
    async def fetch(name: str, place: Place | None, limit: int) -> Block | None:
        return fetched(logs, name, place, limit)

    async def main() -> Batch:
        return await batch.gather(fetch, names, cursor, lambda _: wanted, bounds)

    return trio.run(main)


def read_all(
    logs: Logs, name: str, place: Place | None, bounds: Bounds
) -> tuple[list[int], Place | None, int]:
    """`seq`s, the place behind them, and how many were missing."""
    found: list[int] = []
    missing = 0
    while True:
        chunk = read(logs, name, place, bounds)
        if chunk is None:
            return found, place, missing
        missing += chunk.gap.lines if chunk.gap else 0
        found += [one.head.seq for one in chunk.records]
        place = chunk.place


@settings(max_examples=60)
@given(st.randoms(use_true_random=False))
def test_any_rotation_and_compression_between_any_reads(make_logs: type[Logs], chance: random.Random) -> None:
    with make_logs(segment=chance.choice((300, 1000, 5000))) as logs:
        place: Place | None = None
        found: list[Record] = []
        for _ in range(chance.randrange(1, 12)):
            logs.lines("a", chance.randrange(12))
            for stem in logs.closed("a"):
                if chance.random() < 0.3 and os.path.exists(f"{logs.root}/a/{stem}.jsonl"):
                    logs.compress("a", stem)
            chunk = read(
                logs,
                "a",
                place,
                Bounds(chance.choice((1, 200, 4000)), chance.choice((1, 3, 100))),
            )
            if chunk is not None:
                assert chunk.gap is None
                place, found = chunk.place, [*found, *chunk.records]
        rest, _, missing = read_all(logs, "a", place, WIDE)
        assert [one.head.seq for one in found] + rest == list(
            range(1, logs.seqs.get(("a", 1, "stdout"), 0) + 1)
        )
        assert missing == 0


@settings(max_examples=40)
@given(st.randoms(use_true_random=False))
def test_what_was_removed_unread_is_counted_to_the_line(make_logs: type[Logs], chance: random.Random) -> None:
    with make_logs(segment=1000) as logs:
        logs.lines("a", 5)
        first, place, _ = read_all(logs, "a", None, WIDE)
        logs.lines("a", chance.randrange(40))
        closed = logs.closed("a")
        for stem in closed[: chance.randrange(len(closed) + 1)]:
            logs.drop("a", stem)
        rest, _, missing = read_all(logs, "a", place, Bounds(chance.choice((200, 4000)), 100))
        assert len(first) + len(rest) + missing == logs.seqs["a", 1, "stdout"]


def test_a_clock_that_went_back_changes_no_order(make_logs: type[Logs]) -> None:
    with make_logs(segment=600) as logs:
        logs.lines("a", 10)
        _, place, _ = read_all(logs, "a", None, Bounds(1, 1))
        middle = read(logs, "a", None, Bounds(200, 3))
        logs.clock -= 1000
        logs.lines("a", 10)
        logs.clock += 5000
        logs.lines("a", 10)
        assert any("~" in stem for stem in logs.closed("a"))
        assert read_all(logs, "a", place, WIDE)[0] == list(range(11, 31))
        assert read_all(logs, "a", middle.place if middle else None, WIDE)[::2] == (list(range(2, 31)), 0)


def test_a_run_whose_first_lines_are_gone_is_counted_and_says_that_there_may_be_more(logs: Logs) -> None:
    logs.lines("a", 3)
    _, place, _ = read_all(logs, "a", None, WIDE)
    os.unlink(f"{logs.root}/a/current.jsonl")
    logs.seqs["a", 7, "stdout"] = 4
    logs.output("a", "x", run=7)
    chunk = read(logs, "a", place, WIDE)
    assert chunk
    assert chunk.gap is not None
    assert (chunk.gap.lines, chunk.gap.at_least) == (4, True)
    assert chunk.gap.since < chunk.gap.until


def test_a_place_beyond_what_a_crash_of_the_machine_left_is_not_believed(logs: Logs) -> None:
    logs.lines("a", 5)
    _, place, _ = read_all(logs, "a", None, WIDE)
    assert place is not None
    assert trusted(logs, place) == place
    with open(f"{logs.root}/a/current.jsonl", "r+b") as file:
        file.truncate(file.read().index(b"\n") + 1)
    begin = trusted(logs, place)
    assert begin.offset == 0
    logs.lines("a", 9)
    assert trusted(logs, place).offset == 0


def test_a_torn_last_line_waits_until_it_is_whole(logs: Logs) -> None:
    logs.lines("a", 1)
    with open(f"{logs.root}/a/current.jsonl", "ab") as file:
        file.write(b'{"ts":"torn')
    assert read_all(logs, "a", None, WIDE)[0] == [1]


def test_a_line_that_is_no_record_is_passed_over(logs: Logs) -> None:
    logs.lines("a", 1)
    with open(f"{logs.root}/a/current.jsonl", "ab") as file:
        file.write(b'what is this\n{"ts":1}\n\n')
    logs.lines("a", 1)
    assert read_all(logs, "a", None, WIDE)[0] == [1, 2]


def test_a_record_larger_than_a_batch_is_read_all_the_same(logs: Logs) -> None:
    logs.output("a", "x" * 100_000)
    assert read_all(logs, "a", None, Bounds(100, 1))[0] == [1]


def test_folders_take_turns_and_a_batch_is_bounded(logs: Logs) -> None:
    logs.lines("a", 100)
    logs.lines("b", 2)
    first = gather(logs, ["a", "b"], Cursor(), Bounds(1000, 1000))
    assert 5 <= len(first.records) <= 10
    assert first.left == ["b", "a"]
    cursor = Cursor().moved(first.places)
    second = gather(logs, first.left, cursor, Bounds(1000, 1000))
    assert {one.head.container for one in second.records} == {"a", "b"}


def test_little_that_is_wanted_bounds_what_is_looked_at(logs: Logs) -> None:
    logs.lines("a", 1000)
    found = gather(logs, ["a"], Cursor(), Bounds(1000, 1000), wanted=False)
    assert found.records == []
    assert 1000 < found.places["a"].offset < 10_000
    assert found.left == ["a"]


def test_a_cursor_comes_back_as_it_was_saved(logs: Logs) -> None:
    place = Place("2026", 7, 99, "ts", {"stdout": Seen(1, 2)})
    keep.save(logs.log_dir, "x", Cursor(3, 1, {"a": place}))
    assert keep.load(logs.log_dir, "x") == Cursor(3, 1, {"a": place})
    assert keep.load(logs.log_dir, "another") is None
    assert os.listdir(f"{logs.root}/supervisor") == ["x.cursor"]


def test_what_is_being_written_is_left_for_another_time(logs: Logs) -> None:
    logs.lines("a", 2)
    now = current(logs.log_dir, "a")
    assert now is not None
    with closing(now):
        logs.lines("a", 1)
        block = reader.fetch(logs.log_dir, "a", None, 1 << 20, now)
    assert block is not None
    assert block.data.count(b"\n") == 2
