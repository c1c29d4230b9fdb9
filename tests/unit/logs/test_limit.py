"""Holds: a rate lets through so many lines and no more, whole ones, and what goes is counted to the byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from supervisor.logs import limit
from supervisor.logs.limit import Loss, Tokens

chunks = st.lists(st.sampled_from([b"\n", b"a", b"bc"]), max_size=30).map(b"".join)


@given(chunks, st.integers(0, 12), st.booleans(), st.booleans())
def test_whole_lines_go_and_every_byte_is_counted(
    chunk: bytes, lines: int, midline: bool, all_of_it: bool
) -> None:
    cut = limit.cut(chunk, lines, midline=midline, all_of_it=all_of_it)
    kept = chunk[cut.skipped : cut.skipped + cut.kept]
    gone = chunk[cut.skipped + cut.kept : cut.skipped + cut.kept + cut.dropped]
    left = chunk[cut.skipped + cut.kept + cut.dropped :]
    assert cut.loss.bytes == cut.skipped + len(gone)
    assert kept.count(b"\n") <= lines
    assert chunk[: cut.skipped].count(b"\n") <= 1
    assert cut.loss.lines == gone.count(b"\n") + (cut.midline and bool(gone))
    assert b"\n" not in left
    if midline:
        assert cut.skipped == (chunk.find(b"\n") + 1 or len(chunk))
    if not lines:
        assert not kept
        assert not (all_of_it and left)


def test_a_bucket_holds_a_second_and_fills_at_the_rate() -> None:
    tokens = limit.refill(None, 100.0, 5.0)
    assert tokens == Tokens(100.0, 5.0)
    tokens = limit.refill(Tokens(-20.0, 5.0), 100.0, 5.5)
    assert tokens.left == 30.0
    assert limit.refill(tokens, 100.0, 1000.0).left == 100.0
    assert limit.refill(None, 0.01, 0.0).left == 1.0  # one line at least, once in a while


def test_losses_add_up() -> None:
    assert Loss(1, 10).plus(Loss(2, 5)) == Loss(3, 15)
