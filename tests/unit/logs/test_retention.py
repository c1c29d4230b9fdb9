"""Holds: what is dropped is the oldest, no more than must, and ours."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.logs import retention
from supervisor.logs.retention import Closed, File
from supervisor.logs.stamp import file_stem, stamp

files = st.lists(st.tuples(st.integers(0, 100), st.floats(0, 1000)), max_size=12).map(
    lambda pairs: [
        Closed(f"{n:03}", (File(f"{n:03}.jsonl", size, changed),)) for n, (size, changed) in enumerate(pairs)
    ]
)


@given(files, st.integers(0, 500), st.none() | st.floats(0, 1000))
def test_the_oldest_are_dropped_and_no_more_than_must(
    segments: list[Closed], keep: int, oldest: float | None
) -> None:
    def too_much(left: list[Closed]) -> bool:
        return sum(one.size for one in left) > keep or bool(
            left and oldest is not None and left[0].ended < oldest
        )

    dropped = list(retention.surplus(segments, keep, oldest))
    assert dropped == segments[: len(dropped)]
    assert not too_much(segments[len(dropped) :])
    if dropped:
        assert too_much(segments[len(dropped) - 1 :])


def test_only_names_that_we_give_are_ours() -> None:
    stem = file_stem(stamp(1000.0))
    for name in (f"{stem}.jsonl", f"{stem}~000001.jsonl.zst", f"{stem}.jsonl.gz"):
        assert retention.ours(name) == name.partition(".jsonl")[0]
        assert retention.half_made(f"{name}.77.part")
        assert not retention.half_made(name)
    for name in (
        "current.jsonl",
        "old.jsonl",
        f"{stem}.json",
        f"{stem}.jsonl.xz",
        f"{stem}.jsonl.zst.part.bak",
    ):
        assert retention.ours(name) is None
        assert not retention.half_made(name)
    assert not retention.half_made("data.part")


def test_a_segment_that_is_there_twice_is_one() -> None:
    stem = file_stem(stamp(1000.0))
    found = retention.group(
        [File(f"{stem}.jsonl.zst", 3, 7.0), File("notes.txt", 100, 1.0), File(f"{stem}.jsonl", 10, 7.0)]
    )
    assert [(one.stem, one.size, len(one.files)) for one in found] == [(stem, 13, 2)]
