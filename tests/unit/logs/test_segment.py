"""Holds: a segment reads the same plain and compressed, by us and by the tools that everybody has."""

from __future__ import annotations

import errno
import gzip
import os
import random
import subprocess
from typing import TYPE_CHECKING

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.logs import frames, segments
from supervisor.logs.frames import FORMATS, Format
from supervisor.logs.segment import CURRENT, Segment, open_segment
from supervisor.logs.stamp import file_stem, stamp

if TYPE_CHECKING:
    from tests.unit.logs.conftest import Rig

STEM = file_stem(stamp(1000.0))
RECORD = b'{"ts":"%b","event":"output","line":"%%d"}\n' % stamp(1000.0).encode()
TOOLS = {".jsonl.zst": ("zstd", "-dc"), ".jsonl.gz": ("gzip", "-dc")}

formats = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)


def write(rig: Rig, entry: str, data: bytes) -> str:
    path = f"{rig.root}/log/a/{entry}"
    with open(path, "wb") as file:
        file.write(data)
    return path


def opened(rig: Rig, entry: str) -> Segment:
    found = open_segment(rig.log_dir, "a", entry)
    assert found is not None
    return found


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=3000), max_size=8), st.randoms(use_true_random=False))
def test_any_bytes_read_anywhere_are_the_same(
    make_rig: type[Rig], blocks: list[bytes], chance: random.Random
) -> None:
    blocks = [RECORD % 1, *blocks]
    content = b"".join(blocks)
    with make_rig() as rig:
        write(rig, f"{STEM}.jsonl", content)
        plain = opened(rig, f"{STEM}.jsonl")
        for form in FORMATS:
            write(rig, STEM + form.suffix, b"".join(frames.pack(form, blocks)))
            packed = opened(rig, STEM + form.suffix)
            assert (packed.size(), packed.mark, packed.stem) == (plain.size(), plain.mark, plain.stem)
            assert list(packed.frames()) == [sum(map(len, blocks[:n])) for n in range(len(blocks))]
            for _ in range(20):
                offset, count = chance.randrange(len(content) + 10), chance.randrange(5000)
                assert packed.pread(count, offset) == content[offset : offset + count]
            packed.close()
        plain.close()


@formats
def test_the_tools_that_everybody_has_read_the_whole_of_it(rig: Rig, form: Format) -> None:
    blocks = [b"".join(RECORD % n for n in range(start, start + 500)) for start in range(0, 2000, 500)]
    path = write(rig, STEM + form.suffix, b"".join(frames.pack(form, blocks)))
    try:
        found = subprocess.run([*TOOLS[form.suffix], path], check=True, capture_output=True).stdout
    except FileNotFoundError:
        pytest.skip(f"{TOOLS[form.suffix][0]} is not installed")
    assert found == b"".join(blocks)


@formats
def test_only_the_frames_that_are_asked_for_are_decompressed(
    rig: Rig, form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(rig, STEM + form.suffix, b"".join(frames.pack(form, [b"x" * 1000 + b"\n"] * 50)))
    segment = opened(rig, STEM + form.suffix)
    unpacked = []
    real = frames.unpack

    def counted(form: Format, data: bytes, size: int | None = None) -> bytes:
        unpacked.append(size)
        return real(form, data, size)

    monkeypatch.setattr(frames, "unpack", counted)
    assert segment.pread(1500, 20_000) == (b"x" * 1000 + b"\n")[981:] + b"x" * 1000 + b"\n" + b"x" * 479
    assert segment.pread(10, 21_100) == b"x" * 10  # of the frame that is kept
    assert unpacked == [1001] * 3
    segment.close()


def test_what_somebody_compressed_by_hand_is_read_too(rig: Rig) -> None:
    content = b"".join(RECORD % n for n in range(3000))
    halves = content[:60_000], content[60_000:]
    write(rig, "1.jsonl.zst", b"".join(map(zstandard.ZstdCompressor().compress, halves)))
    write(rig, "2.jsonl.gz", b"".join(map(gzip.compress, halves)))
    for entry in ("1.jsonl.zst", "2.jsonl.gz"):
        segment = opened(rig, entry)
        assert (segment.size(), segment.pread(100, 59_950)) == (len(content), content[59_950:60_050])
        segment.close()


@formats
def test_damage_is_an_error_and_not_other_lines(rig: Rig, form: Format) -> None:
    whole = b"".join(frames.pack(form, [RECORD % 1 * 100, RECORD % 2 * 100]))
    for at in range(0, len(whole), 7):
        write(rig, STEM + form.suffix, whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        try:
            segment = opened(rig, STEM + form.suffix)
        except OSError as error:
            assert error.errno == errno.EIO  # noqa: PT017
            continue
        try:
            assert segment.pread(1 << 20, 0) == RECORD % 1 * 100 + RECORD % 2 * 100
        except OSError as error:
            assert error.errno == errno.EIO  # noqa: PT017
        segment.close()


def test_the_mark_is_the_same_from_the_first_record_to_the_compressed_file(rig: Rig) -> None:
    path = write(rig, CURRENT, b"")
    segment = opened(rig, CURRENT)
    marks = [segment.mark]
    write(rig, CURRENT, RECORD[:50])
    marks.append(segment.mark)
    assert (marks, segment.stem) == ([None, None], "")  # no record, or none that is whole
    write(rig, CURRENT, RECORD % 1)
    first = segment.mark
    assert first is not None
    assert segment.stem == STEM
    os.rename(path, f"{rig.root}/log/a/{STEM}.jsonl")
    write(rig, STEM + ".jsonl.zst", b"".join(frames.pack(FORMATS[0], [RECORD % 1, RECORD % 2])))
    for entry in (STEM + ".jsonl", STEM + ".jsonl.zst"):
        other = opened(rig, entry)
        assert other.mark == first
        other.close()
    segment.close()


def test_segments_of_one_instant_have_marks_of_their_own(rig: Rig) -> None:
    write(rig, CURRENT, RECORD % 1)
    write(rig, f"{STEM}.jsonl", RECORD % 2)
    one, two = opened(rig, CURRENT), opened(rig, f"{STEM}.jsonl")
    assert one.mark != two.mark
    assert one.stem == two.stem == STEM
    one.close()
    two.close()


def test_a_segment_is_listed_once_and_found_while_it_is_compressed(rig: Rig) -> None:
    assert segments.entries(rig.log_dir, "nobody") == []
    for entry in ("2.jsonl", "1.jsonl.zst", "2~000001.jsonl.gz", "2.jsonl.zst", "3.part", "notes.txt"):
        write(rig, entry, b"")
    assert segments.entries(rig.log_dir, "a") == [
        "1.jsonl.zst", "2.jsonl.zst", "2~000001.jsonl.gz", "current.jsonl",
    ]  # fmt: skip
    opened(rig, "1.jsonl").close()  # was listed as plain
    assert open_segment(rig.log_dir, "a", "4.jsonl") is None
    assert open_segment(rig.log_dir, "a", CURRENT) is None
