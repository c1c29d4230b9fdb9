"""Holds of what services say: any datagram is understood as something, and what is not known says nothing."""

from hypothesis import given
from hypothesis import strategies as st

from supervisor.probes.words import LONGEST, MOST_TIME, Words, understand

KNOWN = b"READY STATUS WATCHDOG WATCHDOG_USEC MAINPID STOPPING EXTEND_TIMEOUT_USEC FDSTORE".split()
LINES = st.tuples(st.sampled_from(KNOWN), st.just(b"="), st.binary(max_size=40)).map(b"".join)


def test_every_word_is_understood_and_others_are_passed_over() -> None:
    said = (
        b"READY=1\nSTOPPING=1\nWATCHDOG=1\nSTATUS=caf\xc3\xa9\nMAINPID=42\nWATCHDOG_USEC=1500000\n"
        b"EXTEND_TIMEOUT_USEC=2500000\nBARRIER=1\nX_ODD=7\nnothing\n"
    )
    assert understand(said) == Words(
        ready=True, stopping=True, alive=True, status="café", main=42, watchdog=1.5, extend=2.5
    )
    assert understand(b"WATCHDOG=trigger") == Words(failing=True)
    assert understand(b"READY=0\nFDSTORE=1") == Words()


def test_the_last_of_a_word_that_is_said_twice_counts() -> None:
    assert understand(b"STATUS=one\nSTATUS=two").status == "two"


def test_what_a_terminal_could_obey_is_not_in_a_status() -> None:
    assert understand(b"STATUS=a\x1b[2Jb\x9b\r\xff").status == "a?[2Jb\ufffd?\ufffd".replace("\x9b", "?")


@given(st.one_of(st.binary(max_size=200), st.lists(LINES).map(b"\n".join)))
def test_whatever_is_said_stays_within_bounds(datagram: bytes) -> None:
    words = understand(datagram)
    assert words.status is None or (len(words.status) <= 256 and words.status.isprintable())
    assert words.main is None or words.main > 0
    for seconds in (words.watchdog, words.extend):
        assert seconds is None or 0 < seconds <= MOST_TIME


def test_what_is_too_long_is_cut() -> None:
    assert understand(b"X=" + b"x" * LONGEST + b"\nREADY=1") == Words()
