"""Holds: what was recorded behind a place is found there, whatever became of the segment meanwhile, and never guessed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.logs import segments
from supervisor.logs.compression import compress
from supervisor.logs.frames import FORMATS
from supervisor.logs.journal import Journal
from supervisor.logs.segment import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.logs.conftest import Rig

LOGS = "supervisor"


@pytest.fixture
def journal(rig: Rig) -> Iterator[Journal]:
    """Of segments that hold three records."""
    rig.segment = 240
    archive = rig.archive()
    yield Journal(archive.store(LOGS), None)
    archive.close()


def say(journal: Journal, *numbers: int) -> None:
    for number in numbers:
        journal.record("info", "x", n=number)


def found(records: list[dict[str, Any]] | None) -> list[int] | None:
    return None if records is None else [one["n"] for one in records]


def test_no_more_is_read_than_was_asked_for_and_fewer_only_at_the_end(journal: Journal) -> None:
    say(journal, 1)
    place = journal.place()
    assert journal.behind(place, 2) == []
    say(journal, 2, 3, 4, 5)
    assert found(journal.behind(place, 2)) == [2, 3]
    assert found(journal.behind(place, 9)) == [2, 3, 4, 5]


def test_a_place_is_found_again_when_its_segment_has_been_closed(journal: Journal, rig: Rig) -> None:
    for number in range(12):
        place = journal.place()
        say(journal, number)
        assert found(journal.behind(place, 1)) == [number]
    assert len(segments.closed(rig.log_dir, LOGS)) > 2
    place = journal.place()
    say(journal, *range(12, 24))
    assert found(journal.behind(place, 12)) == list(range(12, 24))


def test_somebody_else_s_file_is_no_segment_of_ours(journal: Journal, rig: Rig) -> None:
    say(journal, 1)
    place = journal.place()
    with open(f"{rig.root}/log/{LOGS}/zzz.jsonl", "wb") as file:
        file.write(b'{"n":9}\n' * 99)
    say(journal, *range(2, 9))
    assert found(journal.behind(place, 7)) == list(range(2, 9))


def test_what_was_compressed_since_is_not_unpacked_to_be_asked(journal: Journal, rig: Rig) -> None:
    say(journal, 1)
    early = journal.place()
    say(journal, *range(2, 9))
    late = journal.place()
    for stem in segments.closed(rig.log_dir, LOGS):
        compress(rig.log_dir, LOGS, stem + SUFFIX, FORMATS[0])
    say(journal, 9)
    assert journal.behind(early, 1) is None
    assert found(journal.behind(late, 1)) == [9]


@pytest.mark.parametrize("change", ["removed", "replaced", "foreign"])
def test_of_a_log_that_is_another_nothing_can_be_told(journal: Journal, rig: Rig, change: str) -> None:
    say(journal, 1, 2)
    place = journal.place()
    current = f"{rig.root}/log/{LOGS}/current.jsonl"
    os.unlink(current)
    if change == "replaced":
        say(journal, 1)
    elif change == "foreign":
        with open(current, "wb") as file:
            file.write(b"x" * 999 + b"\n")
    assert journal.behind(place, 1) is None
