"""Holds: SQL sees each record once, however it lies, and nothing else of the machine."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.logs import frames
from supervisor.logs.frames import FORMATS

Run = Callable[..., tuple[int, str, str]]


def record(number: int, **more: Any) -> bytes:
    fields = {
        "ts": f"2026-11-24T03:00:00.{number:06}Z", "level": "info", "event": "output", "container": "web", "run": 1,
        "stream": "stdout", "seq": number,
    }  # fmt: skip
    return json.dumps(fields | more, separators=(",", ":")).encode() + b"\n"


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Nine lines of web: three compressed each way, one of them also plain, and three plain with a torn one behind."""
    for name in ("web", "supervisor", "empty"):
        (tmp_path / name).mkdir()
    lines = [record(number, line=f"line {number}") for number in range(1, 9)] + [
        record(9, data={"a": {"b": 7}})
    ]
    for at, form in ((0, FORMATS[0]), (3, FORMATS[1])):
        stem = tmp_path / "web" / f"2026-11-24T03-00-00.{at + 1:06}Z"
        Path(f"{stem}{form.suffix}").write_bytes(
            b"".join(frames.pack(form, [lines[at], lines[at + 1] + lines[at + 2]]))
        )
    Path(f"{stem}.jsonl").write_bytes(b"".join(lines[3:6]))
    (tmp_path / "web" / "current.jsonl").write_bytes(b"".join(lines[6:]) + record(10)[:40])
    ended = {
        "ts": "2026-11-24T03:00:01.000000Z",
        "level": "warning",
        "event": "container.exited",
        "container": "web",
        "run": 1,
        "code": 3,
    }
    (tmp_path / "supervisor" / "current.jsonl").write_bytes(json.dumps(ended).encode() + b"\n")
    return tmp_path


def asked(run: Run, logs: Path, statement: str, *names: str) -> list[dict[str, Any]]:
    code, out, err = run("logs", *names, "--dir", str(logs), "--json", "--sql", statement)
    assert (code, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def test_each_record_is_there_once_plain_or_compressed(run: Run, logs: Path) -> None:
    assert [each["seq"] for each in asked(run, logs, "SELECT seq FROM logs ORDER BY seq")] == list(
        range(1, 10)
    )


def test_json_data_can_be_asked_and_comes_as_json(run: Run, logs: Path) -> None:
    (found,) = asked(run, logs, "SELECT ts, data FROM logs WHERE data -> 'a' ->> 'b' = '7'", "web")
    assert found == {"ts": "2026-11-24T03:00:00.000009Z", "data": {"a": {"b": 7}}}


def test_the_supervisors_own_records_are_a_view_of_their_own(run: Run, logs: Path) -> None:
    found = asked(run, logs, "SELECT event, record ->> 'code' AS code FROM events")
    assert found == [{"event": "container.exited", "code": "3"}]


def test_a_container_that_has_printed_nothing_has_an_empty_view(run: Run, logs: Path) -> None:
    assert asked(run, logs, "SELECT count(*) AS n FROM logs", "empty") == [{"n": 0}]
    assert run("logs", "nope", "--dir", str(logs), "--sql", "SELECT 1")[0] == 3


def test_an_answer_is_a_table_for_people(run: Run, logs: Path) -> None:
    statement = "SELECT container, count(*) AS lines, NULL AS nothing, chr(27) AS escape FROM logs GROUP BY 1"
    code, out, err = run("logs", "--dir", str(logs), "--sql", statement)
    assert (code, err) == (0, "")
    assert out == "container  lines  nothing  escape\nweb            9  -        \\x1b\n"


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/proc/self/environ')",
        "SELECT * FROM 'other.json'",
        "COPY (SELECT 1) TO 'out.csv'",
        "ATTACH 'out.db'",
        "INSTALL httpfs",
        "SET enable_external_access = true",
        "SET allowed_paths = ['/etc/passwd']",
        "RESET lock_configuration",
    ],
)
def test_a_statement_can_neither_read_nor_write_anything_else(run: Run, logs: Path, statement: str) -> None:
    before = sorted(os.listdir())
    code, out, err = run("logs", "--dir", str(logs), "--sql", statement)
    assert (code, out) == (1, "")
    assert err.startswith("supervisor: logs --sql: ")
    assert sorted(os.listdir()) == before


def test_a_statement_that_is_none_is_one_line_of_error(run: Run, logs: Path) -> None:
    code, _, err = run("logs", "--dir", str(logs), "--sql", "SELECT nope FROM logs")
    assert code == 1
    assert "nope" in err
    assert err.count("\n") == 1


def test_without_duckdb_it_says_what_to_install(
    run: Run, logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    code, out, err = run("logs", "--dir", str(logs), "--sql", "SELECT 1")
    assert (code, out) == (1, "")
    assert "pip install 'modoki[sql]'" in err


@pytest.mark.parametrize(
    "option", [["--since", "5m"], ["-f"], ["-n", "3"], ["--grep", "x"], ["--field", "a=b"]]
)
def test_what_sql_says_itself_is_refused_beside_it(run: Run, logs: Path, option: list[str]) -> None:
    assert run("logs", "--dir", str(logs), "--sql", "SELECT 1", *option)[0] == 2


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.suffix)
@pytest.mark.parametrize(
    ("damage", "lost"),
    [
        (lambda data: b"", 3),
        (lambda data: b"rubbish" * 99, 3),
        (lambda data: data[:60] + bytes([data[60] ^ 0x41]) + data[61:], 1),
    ],
)
def test_of_a_damaged_file_sql_sees_what_can_be_read(
    run: Run, logs: Path, form: Any, damage: Callable[[bytes], bytes], lost: int
) -> None:
    (file,) = (logs / "web").glob("*" + form.suffix)
    file.with_name(file.name.partition(".jsonl")[0] + ".jsonl").unlink(missing_ok=True)
    file.write_bytes(damage(file.read_bytes()))
    statement = "SELECT count(*) AS n, count(DISTINCT seq) AS each FROM logs"
    code, out, err = run("logs", "--dir", str(logs), "--json", "--sql", statement)
    assert (code, json.loads(out)) == (1, {"n": 9 - lost, "each": 9 - lost})
    assert err.startswith(f"supervisor: {file} is damaged: ")
    assert len(err.splitlines()) == 1
