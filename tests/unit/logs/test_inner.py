"""Holds: a container's own level, message and time are found where loggers write them, and nowhere else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.logs import records
from supervisor.logs.inner import Inner, inner
from supervisor.logs.records import Shape, Source

TS = "2026-11-23T12:34:56.789012Z"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"level": "WARN", "msg": "hot"}, Inner("warning", "hot")),  # Go's slog
        ({"level": 50, "time": 1763901296789, "msg": "no"}, Inner("error", "no", "2025-11-23T12:34:56.789000Z")),  # pino
        ({"severity": "NOTICE", "message": "m"}, Inner("info", "m")),
        ({"log.level": "fatal", "@timestamp": "2026-11-23T13:34:56.789012+01:00"}, Inner("critical", None, TS)),
        ({"event": "started", "timestamp": TS}, Inner(None, "started", TS)),  # structlog
        ({"level": 3, "ts": 1763901296.5}, Inner("error", None, "2025-11-23T12:34:56.500000Z")),  # syslog, zap
        ({"ts": 1763901296789012345}, Inner(None, None, "2025-11-23T12:34:56.789012Z")),
        ({"level": "loud", "msg": 7, "time": "noon"}, Inner()),
        ({"level": True, "time": "2026-11-23T12:34:56"}, Inner()),
        ({"level": 70, "time": -1}, Inner()),
        ({"time": 1e300}, Inner()),
        ({}, Inner()),
    ],
)  # fmt: skip
def test_it_maps(data: dict[str, Any], expected: Inner) -> None:
    assert inner(data) == expected


def encoded(line: str) -> dict[str, Any]:
    batch = records.encode(line.encode() + b"\n", Source("a", 1, "stdout"), 7, TS, Shape(json=True))
    found: dict[str, Any] = json.loads(batch.data)
    return found


def test_a_record_has_them_beside_the_data_as_it_was() -> None:
    line = '{"level":"error","msg":"no \\u2028 disk","time":"2026-11-23T12:34:56Z","n":1e2}'
    found = encoded(line)
    assert list(found) == ["ts", "level", "event", "container", "run", "stream", "seq", "time", "msg", "data"]
    assert (found["level"], found["msg"], found["time"]) == (
        "error",
        "no \u2028 disk",
        "2026-11-23T12:34:56.000000Z",
    )
    assert found["data"] == json.loads(line)
    assert found["ts"] == TS


@given(st.dictionaries(st.sampled_from(["level", "msg", "time", "x"]), st.from_type(type(None)) | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text())))  # fmt: skip
def test_whatever_it_says_is_one_record_with_a_level_of_ours(data: dict[str, Any]) -> None:
    try:
        line = json.dumps(data, allow_nan=False)
    except ValueError:
        line = "{}"
    found = encoded(line)
    assert found["level"] in ("debug", "info", "warning", "error", "critical")
    assert ("data" in found) != ("line" in found)
