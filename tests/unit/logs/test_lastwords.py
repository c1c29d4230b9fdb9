"""Holds: the last lines of a run are found wherever they stand, and only those of that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.logs.lastwords import LONGEST, last_words
from supervisor.logs.records import Shape as Form
from supervisor.logs.records import Source, encode
from supervisor.logs.stamp import stamp
from tests.unit.logs.conftest import Rig

if TYPE_CHECKING:
    from supervisor.logs.archive import Archive


def write(archive: Archive, run: int, moment: float, text: str, *, json: bool = False) -> None:
    ts = stamp(moment)
    batch = encode(text.encode() + b"\n", Source("a", run, "stdout"), 1, ts, Form(json=json), final=True)
    archive.store("a").write(batch.data, ts)


def lines(found: list[dict[str, Any]]) -> list[str]:
    return [each["line"] for each in found]


def test_each_run_has_its_own_last_lines_over_segments(rig: Rig) -> None:
    rig.segment = 900
    archive = rig.archive()
    for run in range(1, 6):
        for n in range(7):
            write(archive, run, 1000.0 + 100 * run + n, f"{run}.{n}")
    for run in range(1, 6):
        found = last_words(rig.log_dir, "a", run, 1000.0 + 100 * run + 10, 3)
        assert lines(found) == [f"{run}.{n}" for n in (4, 5, 6)]
    assert lines(last_words(rig.log_dir, "a", 5, None, 2)) == ["5.5", "5.6"]
    assert last_words(rig.log_dir, "a", 6, None, 2) == []
    assert last_words(rig.log_dir, "nobody", 1, None, 2) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9000), min_size=1, max_size=30), st.integers(1, 4))
def test_the_place_is_found_whatever_the_lengths_of_lines(lengths: list[int], runs: int) -> None:
    with Rig() as rig:
        archive = rig.archive()
        for run in range(1, runs + 1):
            for n, length in enumerate(lengths):
                write(archive, run, 1000.0 * run + n, f"{run}.{n}." + "y" * length)
        for run in range(1, runs + 1):
            found = last_words(rig.log_dir, "a", run, 1000.0 * run + len(lengths), 4)
            expected = [f"{run}.{n}." for n in range(len(lengths))][-4:]
            assert [line.rstrip("y") for line in lines(found)] == expected


def test_a_long_line_is_cut_and_says_so(rig: Rig) -> None:
    write(rig.archive(), 1, 1000.0, "x" * (LONGEST + 1))
    (found,) = last_words(rig.log_dir, "a", 1, None, 9)
    assert (found["line"], found["cut"]) == ("x" * LONGEST, True)


def test_json_lines_are_given_as_what_they_are(rig: Rig) -> None:
    write(rig.archive(), 1, 1000.0, '{"a":[1]}', json=True)
    (found,) = last_words(rig.log_dir, "a", 1, None, 9)
    assert found["data"] == {"a": [1]}
