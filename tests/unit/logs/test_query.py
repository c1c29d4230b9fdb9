"""Holds: the last records and those that follow are read in order, each once, across rotation."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.logs import query, segments
from supervisor.logs.cursor import Cursor
from supervisor.logs.segment import Segment
from supervisor.logs.stamp import stamp

if TYPE_CHECKING:
    from supervisor.logs.archive import Archive
    from tests.unit.logs.conftest import Rig


def write(
    archive: Archive, name: str, number: int, moment: float, *, container: str = "", pad: int = 0
) -> None:
    ts = stamp(moment)
    body = {"ts": ts, "n": number, "container": container or name, "pad": "x" * pad}
    archive.store(name).write(json.dumps(body, separators=(",", ":")).encode() + b"\n", ts)


def tail(
    log_dir: int, names: list[str], n: int, *, events: bool = False, cursors: list[Cursor] | None = None
) -> list[bytes]:
    asked = query.sources(names, own=events, about=frozenset(names))
    *_, last = query.tail(log_dir, asked, n, cursors or ())
    return last


def read(cursor: Cursor, limit: int = 1 << 20) -> list[bytes]:
    return cursor.read(limit).split(b"\n")[:-1]


def numbers(found: list[bytes]) -> list[int]:
    return [json.loads(record)["n"] for record in found]


def test_the_last_records_are_merged_by_time_over_containers_and_segments(rig: Rig) -> None:
    rig.segment = 200
    archive = rig.archive()
    for n in range(40):
        write(archive, "ab"[n % 3 == 0], n, 1000.0 + n)
    assert len(segments.closed(rig.log_dir, "a")) > 3
    assert numbers(tail(rig.log_dir, ["a", "b"], 15)) == list(range(25, 40))
    assert numbers(tail(rig.log_dir, ["a", "b"], 100)) == list(range(40))
    assert tail(rig.log_dir, ["a"], 0) == []


def test_events_are_those_about_the_containers_asked_for(rig: Rig) -> None:
    archive = rig.archive()
    write(archive, "a", 1, 1000.0)
    write(archive, "supervisor", 2, 1001.0, container="a")
    write(archive, "supervisor", 3, 1002.0, container="b")
    assert numbers(tail(rig.log_dir, ["a"], 9, events=True)) == [1, 2]
    assert numbers(tail(rig.log_dir, ["supervisor"], 9)) == [2, 3]


def test_a_container_without_records_has_none(rig: Rig) -> None:
    assert tail(rig.log_dir, ["a", "nobody"], 5) == []
    assert Cursor(rig.log_dir, "nobody").read() == b""


def test_a_torn_last_line_is_not_read(rig: Rig) -> None:
    with open(f"{rig.root}/log/a/current.jsonl", "wb") as file:
        file.write(b"one\n\ntwo\ntor")
    assert tail(rig.log_dir, ["a"], 9) == [b"one", b"", b"two"]
    assert Cursor(rig.log_dir, "a", start=True).read() == b""  # too short for a record of ours


def test_a_cursor_begins_where_the_tail_ends(rig: Rig) -> None:
    rig.segment = 300
    archive = rig.archive()
    for n in range(10):
        write(archive, "a", n, 1000.0 + n)
    cursors = [Cursor(rig.log_dir, name) for name in ("a", "b")]
    for n in range(10, 30):  # meanwhile the segment is closed, and more than one
        write(archive, "ab"[n % 2], n, 1000.0 + n)
    assert numbers(tail(rig.log_dir, ["a", "b"], 3, cursors=cursors)) == [7, 8, 9]
    found: list[bytes] = []
    follower = query.Follower(cursors, query.sources(["a", "b"]))
    while (batch := follower.read())[1]:
        found += batch[0]
    assert sorted(numbers(found)) == list(range(10, 30))


def test_a_cursor_goes_on_after_a_segment_that_was_dropped(rig: Rig) -> None:
    rig.segment = 1
    archive = rig.archive()
    write(archive, "a", 0, 1000.0)
    cursor = Cursor(rig.log_dir, "a")
    for n in range(1, 4):
        write(archive, "a", n, 1000.0 + n)
    os.unlink(f"{rig.root}/log/a/{segments.closed(rig.log_dir, 'a')[0]}.jsonl")
    assert [numbers(read(cursor)) for _ in range(4)] == [[1], [2], [3], []]


def test_a_cursor_goes_on_with_whole_records_where_a_batch_was_cut_off(rig: Rig) -> None:
    """The disk was full in the middle of it, and what came after it was read before it was cut back."""
    archive = rig.archive()
    write(archive, "a", 0, 1000.0)
    cut = os.path.getsize(f"{rig.root}/log/a/current.jsonl")
    cursor = Cursor(rig.log_dir, "a")
    write(archive, "a", 1, 1001.0)
    assert numbers(read(cursor)) == [1]
    archive.store("a").cut(cut)
    assert read(cursor) == []
    write(archive, "a", 2, 1002.0, pad=7)
    assert numbers(read(cursor)) == [2]
    archive.store("a").cut(cut)
    write(archive, "a", 3, 1003.0, pad=300)  # the place is in the middle of it now
    assert numbers(read(cursor)) == [3]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.integers(0, 5000), st.just(None)), max_size=40),
    st.integers(100, 20_000),
    st.integers(100, 5000),
)
def test_a_follower_sees_every_record_once(
    make_rig: type[Rig], steps: list[int | None], segment: int, limit: int
) -> None:
    """A number writes a record that large, None lets the follower read a block."""
    with make_rig(segment=segment) as rig:
        archive = rig.archive()
        cursor = Cursor(rig.log_dir, "a", start=True)
        seen: list[int] = []
        count = 0
        for step in steps:
            if step is None:
                seen += numbers(read(cursor, limit))
            else:
                write(archive, "a", count, 1000.0 + count // 3, pad=step)  # some within one microsecond
                count += 1
        while batch := read(cursor, limit):
            seen += numbers(batch)
        assert seen == list(range(count))
        assert numbers(tail(rig.log_dir, ["a"], 10)) == list(range(count))[-10:]
        archive.close()


@settings(deadline=None)
@given(st.lists(st.binary(max_size=90_000).map(lambda raw: raw.replace(b"\n", b"")), max_size=4))
def test_reading_backwards_gives_the_same_lines(make_rig: type[Rig], lines: list[bytes]) -> None:
    with make_rig() as rig, open(f"{rig.root}/x", "wb+") as file:
        file.write(b"".join(line + b"\n" for line in lines))
        file.flush()
        segment = Segment(file.fileno(), "x")
        assert list(segments.backwards(segment, segment.size())) == lines[::-1]
