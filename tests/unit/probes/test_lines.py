"""Holds of readiness by output: a line is the same line however it arrives, and a long one costs no more than a short one."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.probes.lines import LONGEST, Pattern


def fed(pattern: str, *chunks: bytes) -> bool:
    one = Pattern(pattern)
    found = [one.matches("stdout", chunk) for chunk in chunks]
    return True in found


@given(st.lists(st.integers(1, 20), max_size=8))
def test_a_line_matches_however_it_is_cut(cuts: list[int]) -> None:
    data = b"so far\nserver is READY now\nmore\n"
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(data[at : at + cut])
        at += cut
    assert fed(r"^server is READY now$", *chunks, data[at:])


def test_a_pattern_does_not_match_over_the_end_of_a_line_nor_over_two_streams() -> None:
    assert not fed("one.*two", b"one\n", b"two\n")
    one = Pattern("one.*two")
    assert not one.matches("stdout", b"one ")
    assert not one.matches("stderr", b"two\n")


def test_only_the_beginning_of_a_line_is_looked_at_and_kept() -> None:
    assert not fed("end$", b"x" * LONGEST, b"x" * 10_000, b"end\n")
    assert fed("^x+$", b"x" * 10_000 + b"\n")


def test_bytes_that_are_no_text_are_looked_at_all_the_same() -> None:
    assert fed("ready", b"\xff\xfe ready \x00\n")
