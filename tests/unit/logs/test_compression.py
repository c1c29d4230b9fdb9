"""Holds: a compressed segment is the plain one, in frames of whole lines; killed anywhere, it is there once and whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core import spec
from supervisor.logs import compression, retention, segments, sync
from supervisor.logs.frames import FORMATS, Format
from supervisor.logs.numbers import Note
from supervisor.logs.segment import open_segment
from supervisor.logs.stamp import file_stem, stamp
from supervisor.logs.upkeep import Upkeep

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.logs.conftest import Rig

STEM = file_stem(stamp(1000.0))
CALLS = {"open", "fstat", "fchmod", "pread", "write", "utime", "fsync", "close", "rename", "unlink"}

formats = pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)


def content(rig: Rig) -> bytes:
    """Of the folder's one closed segment."""
    (entry, _) = segments.entries(rig.log_dir, "a")
    segment = open_segment(rig.log_dir, "a", entry)
    assert segment is not None
    try:
        return segment.pread(segment.size(), 0)
    finally:
        segment.close()


def written(rig: Rig, data: bytes) -> str:
    with open(f"{rig.root}/log/a/{STEM}.jsonl", "wb") as file:
        file.write(data)
    return f"{STEM}.jsonl"


@given(st.lists(st.binary(max_size=30)), st.integers(1, 40))
def test_frames_are_whole_lines_and_together_the_file(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], least: int
) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "lines"
    data = b"\n".join(parts)
    path.write_bytes(data)
    with path.open("rb") as file:
        pieces = list(compression.blocks(file.fileno(), least))
    assert b"".join(pieces) == data
    assert all(piece.endswith(b"\n") for piece in pieces[:-1])
    assert all(piece.count(b"\n") == 1 or len(piece) <= least for piece in pieces if piece.endswith(b"\n"))


@formats
def test_it_replaces_the_plain_one_and_keeps_its_time(rig: Rig, form: Format) -> None:
    lines = b"".join(b'{"n":%d}\n' % n for n in range(1000))
    entry = written(rig, lines)
    os.utime(f"{rig.root}/log/a/{entry}", (5000, 5000))
    compression.compress(rig.log_dir, "a", entry, form)
    (name,) = os.listdir(f"{rig.root}/log/a")
    stat = os.stat(f"{rig.root}/log/a/{name}")
    assert (name, stat.st_mtime, stat.st_mode & 0o777) == (STEM + form.suffix, 5000, 0o640)
    assert content(rig) == lines


class Killed(BaseException):
    pass


class DyingOs:
    """`os`, until call number `at`."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return (lambda *args, **kwargs: self._call(real, *args, **kwargs)) if name in CALLS else real

    def _call(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left < 0:
            raise Killed
        return real(*args, **kwargs)


@formats
def test_killed_at_every_system_call_the_segment_is_there_once(
    make_rig: type[Rig], form: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = b"".join(b'{"ts":"%b","n":%d}\n' % (stamp(1000.0).encode(), n) for n in range(500))
    monkeypatch.setattr(compression, "FRAME", 4000)
    at, killed = 0, True
    while killed:
        killed = False
        with make_rig() as rig:
            entry = written(rig, lines)
            with monkeypatch.context() as patch:
                for module in (compression, sync):
                    patch.setattr(module, "os", DyingOs(at))
                try:
                    compression.compress(rig.log_dir, "a", entry, form)
                except Killed:
                    killed = True
            assert content(rig) == lines
            tidied(rig)
            assert content(rig) == lines
            (left,) = os.listdir(f"{rig.root}/log/a")
            assert retention.ours(left) == STEM
        at += 1
    assert at > 12


def tidied(rig: Rig) -> None:
    """As the next daemon does at its start."""

    async def main() -> None:
        archive = rig.archive()
        upkeep = Upkeep(
            archive, spec.Logs("", compress="none"), lambda: ["a"], rig.journal,
            settle=lambda: None, number=lambda _, through: Note(1, 1, 1, through), die_with=lambda _: None,
        )  # fmt: skip
        upkeep._tidy("a")

    trio.run(main)
