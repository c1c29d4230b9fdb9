"""Holds: a damaged segment takes nothing else with it, what can be read of it is read, and it is told of."""

import json
import os
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.logs import frames, query, walk
from supervisor.logs.cursor import Cursor
from supervisor.logs.damage import Damages
from supervisor.logs.frames import FORMATS, Format
from supervisor.logs.lastwords import last_words
from supervisor.logs.stamp import file_stem, stamp
from tests.unit.logs.conftest import Rig

EACH = 40
formats = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)


def record(number: int) -> bytes:
    fields = {
        "ts": stamp(1000.0 + number), "level": "info", "event": "output", "container": "a", "run": 1,
        "stream": "stdout", "seq": number, "line": f"{number * 7919 % 1009}",
    }  # fmt: skip
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


BLOCKS = [b"".join(map(record, range(at, at + EACH))) for at in range(0, 5 * EACH, EACH)]
MIDDLE = BLOCKS[1:4]


def packed(form: Format) -> bytes:
    return b"".join(frames.pack(form, MIDDLE))


def lay(rig: Rig, form: Format, middle: bytes) -> str:
    """Three segments, of which the middle one holds that, and the first is compressed likewise; its file."""
    folder = Path(rig.root) / "log" / "a"
    first = folder / (file_stem(stamp(1000.0)) + form.suffix)
    first.write_bytes(b"".join(frames.pack(form, BLOCKS[:1])))
    second = folder / (file_stem(stamp(1000.0 + EACH)) + form.suffix)
    second.write_bytes(middle)
    (folder / "current.jsonl").write_bytes(BLOCKS[4])
    return f"a/{second.name}"


class Heard:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.damages = Damages(lambda file, wrong: self.told.append((file, wrong)))

    def files(self) -> list[str]:
        return [file for file, _ in self.told]


def forwards(rig: Rig, damages: Damages, *, lean: bool = False) -> bytes:
    return b"".join(walk.Forwards(rig.log_dir, "a", lean=lean, most=2000, damages=damages))


def backwards(rig: Rig, damages: Damages, *, lean: bool = False) -> bytes:
    return b"".join([*walk.backwards(rig.log_dir, "a", lean=lean, most=2000, damages=damages)][::-1])


WALKS: list[Callable[[Rig, Damages], bytes]] = [
    forwards,
    backwards,
    lambda rig, damages: forwards(rig, damages, lean=True),
    lambda rig, damages: backwards(rig, damages, lean=True),
]


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]


def frame_ends(form: Format) -> list[int]:
    ends = [0]
    for block in MIDDLE:
        ends.append(ends[-1] + len(form.pack(block)))
    return ends


@formats
@pytest.mark.parametrize("bad", [0, 1, 2])
@pytest.mark.parametrize("walked", WALKS)
def test_of_a_segment_with_a_damaged_frame_the_others_are_read_either_way(
    rig: Rig, form: Format, bad: int, walked: Callable[[Rig, Damages], bytes]
) -> None:
    start, end = [*pairwise(frame_ends(form))][bad]
    file, heard = lay(rig, form, flipped(packed(form), (start + end) // 2)), Heard()
    good = [block for number, block in enumerate(MIDDLE) if number != bad]
    assert walked(rig, heard.damages) == b"".join([BLOCKS[0], *good, BLOCKS[4]])
    assert heard.files() == [file]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 1 << 16), st.sampled_from(WALKS))
def test_one_byte_takes_one_frame_at_most_and_nothing_without_a_word(
    form: Format, at: int, walked: Callable[[Rig, Damages], bytes]
) -> None:
    data, heard = packed(form), Heard()
    with Rig() as rig:
        lay(rig, form, flipped(data, at % len(data)))
        found = walked(rig, heard.damages)
    kept = [block for block in MIDDLE if block in found]
    assert found == b"".join([BLOCKS[0], *kept, BLOCKS[4]])
    assert len(kept) >= len(MIDDLE) - 1
    assert kept == MIDDLE or heard.told


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FORMATS), st.integers(0, 1 << 16), st.sampled_from(WALKS))
def test_of_a_segment_that_was_cut_off_what_is_left_is_read_and_that_is_told(
    form: Format, left: int, walked: Callable[[Rig, Damages], bytes]
) -> None:
    data, heard, ends = packed(form), Heard(), frame_ends(form)
    left %= len(data)
    with Rig() as rig:
        file = lay(rig, form, data[:left])
        found = walked(rig, heard.damages)
    whole = b"".join(
        [BLOCKS[0], *(block for block, end in zip(MIDDLE, ends[1:], strict=True) if end <= left)]
    )
    assert found.startswith(whole)
    assert found.endswith(BLOCKS[4])
    assert b"".join(BLOCKS).startswith(found.removesuffix(BLOCKS[4]))
    if left not in ends or form is FORMATS[0]:  # members of gzip that are all whole are a whole file
        assert heard.files() == [file]


@formats
@pytest.mark.parametrize("content", [b"", b"rubbish" * 100])
@pytest.mark.parametrize("walked", WALKS)
def test_a_segment_without_anything_to_be_read_is_passed_over_and_told(
    rig: Rig, form: Format, content: bytes, walked: Callable[[Rig, Damages], bytes]
) -> None:
    file, heard = lay(rig, form, content), Heard()
    assert walked(rig, heard.damages) == BLOCKS[0] + BLOCKS[4]
    assert heard.files() == [file]
    if not content:
        assert heard.told == [(file, "it is empty")]


@pytest.mark.parametrize(("left", "wrong"), [(0, "it is empty"), (-20, "it was cut off")])
def test_a_plain_segment_that_is_not_whole_is_told(rig: Rig, left: int, wrong: str) -> None:
    path = Path(rig.root) / "log" / "a" / f"{file_stem(stamp(1000.0))}.jsonl"
    path.write_bytes(BLOCKS[0][:left])
    (path.parent / "current.jsonl").write_bytes(BLOCKS[1] + b"torn")  # that one is still being written
    heard = Heard()
    expected = BLOCKS[0][: BLOCKS[0].rfind(b"\n", 0, left) + 1] if left else b""
    assert forwards(rig, heard.damages) == backwards(rig, heard.damages) == expected + BLOCKS[1]
    assert heard.told == [(f"a/{path.name}", wrong)]


@formats
def test_what_is_whole_is_not_told_of_whoever_compressed_it(rig: Rig, form: Format) -> None:
    heard = Heard()
    for middle in (packed(form), b"".join(map(form.pack, MIDDLE))):
        lay(rig, form, middle)
        assert forwards(rig, heard.damages) == backwards(rig, heard.damages) == b"".join(BLOCKS)
    assert heard.told == []


@formats
def test_the_last_ones_are_looked_for_beyond_the_damage(rig: Rig, form: Format) -> None:
    start, end = frame_ends(form)[1:3]
    lay(rig, form, flipped(packed(form), (start + end) // 2))
    *_, found = query.tail(rig.log_dir, query.sources(["a"]), 3 * EACH)
    assert b"".join(each + b"\n" for each in found) == MIDDLE[0] + MIDDLE[2] + BLOCKS[4]


@formats
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_who_follows_what_was_walked_reads_nothing_twice(rig: Rig, form: Format, bad: int) -> None:
    start, end = [*pairwise(frame_ends(form))][bad]
    lay(rig, form, flipped(packed(form), (start + end) // 2))
    current = Path(rig.root) / "log" / "a" / "current.jsonl"
    current.unlink()
    history = query.History(rig.log_dir, query.sources(["a"]))
    assert sum(map(len, history)) == 3 * EACH
    (cursor,) = history.cursors()
    assert cursor.read() == b""
    current.write_bytes(BLOCKS[4])
    assert cursor.read() == BLOCKS[4]


@formats
@pytest.mark.parametrize("bad", [0, 2])
def test_a_follower_begins_at_the_end_of_a_damaged_segment(rig: Rig, form: Format, bad: int) -> None:
    start, end = [*pairwise(frame_ends(form))][bad]
    file, heard = lay(rig, form, flipped(packed(form), (start + end) // 2)), Heard()
    current = Path(rig.root) / "log" / "a" / "current.jsonl"
    current.unlink()
    cursor = Cursor(rig.log_dir, "a", damages=heard.damages)
    current.write_bytes(BLOCKS[4])
    assert BLOCKS[4] == cursor.read()[-len(BLOCKS[4]) :]
    assert heard.files() == [file]


@formats
def test_a_follower_passes_over_what_cannot_be_read(rig: Rig, form: Format) -> None:
    file, heard = lay(rig, form, b"rubbish" * 100), Heard()
    cursor = Cursor(rig.log_dir, "a", start=True, damages=heard.damages)
    assert [cursor.read(), cursor.read(), cursor.read()] == [BLOCKS[0], BLOCKS[4], b""]
    assert heard.files() == [file]


@formats
def test_the_last_words_are_found_beyond_the_damage(rig: Rig, form: Format) -> None:
    start, end = frame_ends(form)[1:3]
    file, heard = lay(rig, form, flipped(packed(form), (start + end) // 2)), Heard()
    found = last_words(rig.log_dir, "a", 1, None, 3 * EACH, damages=heard.damages)
    lines = [json.loads(each)["line"] for each in (MIDDLE[0] + MIDDLE[2] + BLOCKS[4]).splitlines()]
    assert [each["line"] for each in found] == lines
    assert heard.files() == [file]


def test_a_file_that_may_not_be_read_is_no_damage(rig: Rig) -> None:
    os.symlink("/etc/passwd", f"{rig.root}/log/a/{file_stem(stamp(1000.0))}.jsonl")
    with pytest.raises(OSError, match="symbolic"):
        forwards(rig, Heard().damages)
