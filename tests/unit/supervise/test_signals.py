"""Signals are understood by any name people give them."""

import signal

import pytest

from supervisor.supervise.signals import number


@pytest.mark.parametrize("name", ["SIGTERM", "TERM", "term", "15", " sigterm "])
def test_a_signal_has_many_names(name: str) -> None:
    assert number(name) == signal.SIGTERM


def test_real_time_signals_count_from_either_end() -> None:
    assert number("RTMIN+3") == signal.SIGRTMIN + 3
    assert number("SIGRTMAX-1") == signal.SIGRTMAX - 1


@pytest.mark.parametrize("name", ["", "SIG", "SIGNOPE", "0", "65", "SIGRTMIN+99", "²"])
def test_anything_else_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match="is not a signal"):
        number(name)
