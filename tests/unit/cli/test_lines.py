"""Log lines: one a record, safe, and understood whatever the record."""

import base64
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.cli import lines


@pytest.fixture(autouse=True)
def japan(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC-9")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


#: 23:00 in Japan, of the day whose records these are.
NOW = 1_795_528_800.0


def line(colour: bool = False, utc: bool = False, now: float = NOW, **more: Any) -> str:
    fields = {
        "ts": "2026-11-24T03:34:56.789012Z",
        "level": "info",
        "event": "output",
        "container": "web",
        "run": 1,
    }
    return lines.Lines(colour=colour, utc=utc, now=lambda: now).line(json.dumps({**fields, **more}).encode())


def test_a_line_has_local_time_name_and_text() -> None:
    assert line(stream="stdout", line="hello") == "12:34:56.789 web       | hello"


def test_a_line_may_have_its_time_in_utc() -> None:
    assert line(utc=True, stream="stdout", line="hello") == "03:34:56.789 web       | hello"


def test_a_line_of_another_day_says_which() -> None:
    assert line(now=NOW + 3600, stream="stdout", line="hello") == "11-24 12:34:56.789 web       | hello"


def test_stderr_is_marked() -> None:
    assert line(stream="stderr", line="oh") == "12:34:56.789 web       ! oh"


def test_a_line_that_goes_on_is_marked() -> None:
    assert line(stream="stdout", line="half", partial=True).endswith("| half…")


def test_bytes_that_are_not_utf8_are_shown_escaped() -> None:
    assert line(stream="stdout", line_b64=base64.b64encode(b"a\xff\x1b").decode()).endswith("| a\\xff\\x1b")


def test_data_is_shown_as_json() -> None:
    assert line(stream="stdout", data={"a": "é"}).endswith('| {"a": "é"}')


def test_control_characters_never_reach_the_terminal() -> None:
    assert line(stream="stdout", line="\x1b[2J\x9b31m\u202eok\tgo").endswith(
        "| \\x1b[2J\\x9b31m\\u202eok\tgo"
    )


def test_the_carriage_return_of_a_terminal_program_is_left_out() -> None:
    assert line(stream="stdout", line="done\r").endswith("| done")


def test_an_event_is_said_in_words() -> None:
    text = line(
        event="container.exited", run=3, code=1, signal=None, reason="it ended", cpu={"usage_usec": 5}
    )
    assert text == '12:34:56.789 web       * exited run=3 code=1 reason="it ended" cpu={"usage_usec": 5}'


def test_an_event_without_container_is_the_supervisors() -> None:
    assert line(container=None, run=None, event="supervisor.started", pid=1) == (
        "12:34:56.789 supervisor * supervisor.started pid=1"
    )


def test_names_stay_below_one_another_once_a_long_one_came() -> None:
    long = lines.Lines(["a-longer-name"], now=lambda: NOW)
    record = {"ts": "2026-11-24T03:34:56.789012Z", "event": "output", "container": "web", "line": "x"}
    assert long.line(json.dumps(record).encode()) == "12:34:56.789 web           | x"


def test_a_container_keeps_its_colour() -> None:
    first = line(colour=True, stream="stdout", line="x")
    assert first == line(colour=True, stream="stdout", line="x")
    assert re.sub(r"\x1b\[\d*m", "", first) == line(stream="stdout", line="x")


@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(json.dumps).map(str.encode)
)
def test_what_is_not_a_record_is_shown_safely(raw: bytes) -> None:
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", lines.Lines().line(raw))


@given(
    st.dictionaries(
        st.sampled_from(["ts", "event", "container", "run", "line", "line_b64", "x"]),
        st.text() | st.integers(),
    )
)
def test_records_with_anything_in_them_are_shown_safely(record: dict[str, Any]) -> None:
    record = {"ts": "2026-11-24T03:34:56.789012Z", "event": "output"} | record
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", lines.Lines().line(json.dumps(record).encode()))
