"""What people see: tables that fit, and nothing that could act on a terminal."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.cli import render

number = st.none() | st.integers(0, 10**18) | st.floats(0, 1e15)
whole = st.none() | st.integers(-(10**6), 10**18)
objects = st.fixed_dictionaries(
    {
        "name": st.text(max_size=80),
        "state": st.sampled_from(["running", "failed", "backoff", "stopped"]) | st.text(max_size=30),
        "restarts": st.integers(0, 10**12),
        "pid": whole,
    },
    optional={
        "ready": st.booleans(),
        "healthy": st.none() | st.booleans(),
        "uptime_s": st.none() | st.floats(0, 1e12),
        "exit": st.none()
        | st.fixed_dictionaries(
            {"code": whole, "signal": whole | st.text(max_size=20), "oom": st.booleans()}
        ),
        "cpu": st.none()
        | st.fixed_dictionaries(
            {"percent": number, "quota_usec": whole, "period_usec": whole, "throttled_percent": number}
        ),
        "memory": st.none() | st.fixed_dictionaries({"current": number}),
        "output_waiting": st.integers(0, 10**15),
    },
)


@given(st.lists(objects, max_size=8))
def test_a_table_fits_80_columns_whatever_the_values(containers: list[dict[str, Any]]) -> None:
    lines = render.status(containers)
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if re.search(r"[\x00-\x1f\x7f-\x9f]", line)]


@given(st.text())
def test_nothing_unsafe_is_left(text: str) -> None:
    assert not re.search(
        r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", render.safe(text)
    )


def test_ordinary_text_is_left_as_it_is() -> None:
    assert render.safe("tab\there, 日本語　全角, naïve — 👩‍💻") == "tab\there, 日本語　全角, naïve — 👩‍💻"


def test_two_hundred_containers_are_summed_up_in_the_last_line() -> None:
    states = ["running"] * 197 + ["backoff"] * 2 + ["failed"]
    containers = [{"name": f"web.{i}", "state": state, "pid": None} for i, state in enumerate(states)]
    lines = render.status(containers)
    assert len(lines) == 202
    assert lines[-1] == "200 containers: 197 running, 2 backoff, 1 failed"


def test_no_containers_are_one_line() -> None:
    assert render.status([]) == ["0 containers"]


def test_a_row_shows_use_against_its_cap(container: Any) -> None:
    assert render.status([container("web")])[1].split() == [
        "web",
        "running",
        "4711",
        "1h02m",
        "2",
        "1",
        "9.8%/10%",
        "45%",
        "11.8M",
    ]


def test_a_stopped_container_shows_no_use(container: Any) -> None:
    row = render.status([container("web", state="stopped", pid=None)])[1]
    assert row.split() == ["web", "stopped", "-", "-", "2", "1", "-/10%", "-", "-"]


@pytest.mark.parametrize(
    ("more", "word"),
    [({"healthy": False}, "unhealthy"), ({"ready": False}, "unready"), ({"healthy": True}, "running")],
)
def test_a_running_container_that_is_not_well_says_so(container: Any, more: Any, word: str) -> None:
    assert render.status([container("web", **more)])[1].split()[1] == word


@pytest.mark.parametrize(
    ("ended", "word"),
    [
        ({"code": 0}, "0"),
        ({"code": None, "signal": 9}, "SIGKILL"),
        ({"code": None, "signal": "SIGTERM"}, "SIGTERM"),
        ({"code": None, "signal": 9, "oom": True}, "oom"),
        ({"code": None, "signal": 99}, "SIG99"),
        (None, "-"),
    ],
)
def test_the_last_exit_is_a_code_a_signal_or_a_lack_of_memory(container: Any, ended: Any, word: str) -> None:
    assert render.status([container("web", exit=ended)])[1].split()[5] == word


def test_replicas_with_long_names_can_be_told_apart(container: Any) -> None:
    lines = render.status([container("x" * 60 + f".{i}") for i in (1, 2)])
    assert lines[1].split()[0] != lines[2].split()[0]
    assert "…" in lines[1]


def test_output_that_waits_is_said(container: Any) -> None:
    assert "web: 2K of output waits to be written" in render.status([container("web", output_waiting=2048)])


def test_colours_need_a_terminal_and_no_objection() -> None:
    assert render.wants_colour(True, {})
    assert not render.wants_colour(False, {})
    assert not render.wants_colour(True, {"NO_COLOR": "1"})
    assert not render.wants_colour(True, {"TERM": "dumb"})


def test_colour_changes_nothing_but_colour(container: Any) -> None:
    containers = [container("web"), container("db", state="failed")]
    painted = render.status(containers, colour=True)
    assert any("\x1b[31m" in line for line in painted)
    assert [re.sub(r"\x1b\[\d*m", "", line) for line in painted] == render.status(containers)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.9, "0s"),
        (59, "59s"),
        (725, "12m05s"),
        (11220, "3h07m"),
        (1051200, "12d04h"),
        (10**8, "1157d"),
        (None, "-"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert render.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (999, "999B"), (1024, "1K"), (10_000, "9.8K"), (64 << 20, "64M"), (None, "-")],
)
def test_sizes(count: int | None, text: str) -> None:
    assert render.size(count) == text


def test_inspect_is_indented_text() -> None:
    value = {
        "name": "web\x1b",
        "pid": None,
        "ready": True,
        "config": {
            "command": ["/bin/sh", "-c", ""],
            "mounts": [{"type": "bind", "target": "/srv"}],
            "groups": [],
        },
    }
    assert list(render.inspect(value)) == [
        "name: web\\x1b",
        "pid: -",
        "ready: yes",
        "config:",
        '  command: /bin/sh -c ""',
        "  mounts:",
        "    - type: bind",
        "      target: /srv",
        "  groups: -",
    ]
