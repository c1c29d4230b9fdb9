"""Holds: `why` reads well, shows nothing a terminal obeys, and knows what the records tell where no ledger is left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli import whyoffline
from supervisor.cli.why import lines
from supervisor.cli.whyoffline import from_records
from supervisor.core import explain
from supervisor.core.readings import Reading
from supervisor.logs.damage import nobody
from supervisor.logs.stamp import instant, stamp
from supervisor.supervise.why import why


def record(n: int, event: str, run: int | None = 1, **fields: Any) -> dict[str, Any]:
    return {
        "ts": f"2026-11-24T03:00:{n:02}.000000Z", "level": "info", "event": event, "container": "web", "run": run,
        **fields,
    }  # fmt: skip


LIFE = [
    record(1, "container.starting", why="boot"),
    record(2, "container.started", pid=77, launch_ms=2.5),
    record(3, "cgroup.stat", usage_usec=5),
    record(4, "operator.request", action="stop", operator={"uid": 1000, "pid": 9}),
    record(4, "container.stopping", by="operator", signal="SIGTERM", then="stop"),
    record(5, "container.exited", code=None, signal=15, oom=False, reason="operator", decision="as asked",
           uptime_s=3.0, cpu={"usage_usec": 1_500_000}),
    record(5, "container.stopped", by="operator"),
]  # fmt: skip


def test_records_alone_tell_the_history_with_the_operator() -> None:
    (run,) = from_records(LIFE, "web")
    assert explain.ending(run) == "stopped by an operator (uid 1000, pid 9)"
    assert from_records(LIFE, "db") == ()


def test_records_of_any_shape_are_read() -> None:
    odd = [{}, {"container": "web"}, record(1, "container.starting", None), {**LIFE[0], "ts": "yesterday"}]
    assert from_records([*odd, *LIFE], "web") == from_records(LIFE, "web")


def test_a_run_numbered_anew_replaces_what_was_counted_before() -> None:
    old = [{**each, "run": 7} for each in LIFE]
    assert [run.run for run in from_records([*old, *LIFE], "web")] == [1]


def restarted(times: int) -> list[dict[str, Any]]:
    """The records of as many runs that failed, and of one that goes on."""
    found = []
    for run in range(1, times + 1):
        found += [record(run, "container.starting", run), record(run, "container.started", run)]
        found += [
            record(run, "container.exited", run, code=3, reason="exit"),
            record(run, "container.backoff", run),
        ]
    return [*found, record(30, "container.starting", times + 1), record(30, "container.started", times + 1)]


@pytest.mark.parametrize("newest", [None, 0, 1, 3, 50])
def test_the_summary_is_made_of_all_runs_however_few_are_shown(newest: int | None) -> None:
    runs = from_records(restarted(8), "web")
    told = why(
        "web", {"state": "running"}, runs, Reading(), wall=instant(LIFE[0]["ts"]) + 60, cpus=2, newest=newest
    )
    assert told["summary"] == "web restarted 8 times in the last 10 minutes: exit code 3"
    assert [run["run"] for run in told["runs"]] == [9, 8, 7, 6, 5, 4, 3, 2, 1][:newest]


def test_of_a_container_that_runs_it_is_said_since_when_also_where_no_run_is_shown() -> None:
    runs = from_records(LIFE[:2], "web")
    now = instant(LIFE[1]["ts"]) + 30
    assert why("web", {"state": "running"}, runs, None, wall=now, cpus=2, newest=0)["summary"] == (
        "web has been running for 30 s"
    )


def test_without_a_supervisor_the_summary_is_made_of_all_runs_too(tmp_path: Path) -> None:
    (tmp_path / "supervisor").mkdir()
    (tmp_path / "supervisor" / "current.jsonl").write_text(
        "".join(json.dumps({**each, "ts": stamp()}) + "\n" for each in restarted(4)[:-2])
    )
    told = whyoffline.why(None, "web", 1, str(tmp_path), None, tell=nobody)
    assert told["summary"].startswith("web restarted 4 times in the last 10 minutes")
    assert [run["run"] for run in told["runs"]] == [4]


def test_people_read_what_matters_first() -> None:
    told = why("web", {"state": "stopped"}, from_records(LIFE, "web"), None, wall=1_800_000_000.0, cpus=2)
    told["runs"][0]["output"] = [{"stream": "stderr", "line": "bad \x1b[2J"}]
    shown = list(lines(told))
    assert shown[0] == "web was stopped (uid 1000, pid 9)"
    assert "run 1: stopped by an operator (uid 1000, pid 9)" in shown
    assert "  used     1.5 s of CPU" in shown
    assert shown[-1] == "    ! bad \\x1b[2J"


def test_without_a_supervisor_damaged_records_are_named_and_the_others_tell_the_history(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = tmp_path / "supervisor"
    folder.mkdir()
    (folder / "2026-11-24T02-00-00.000000Z.jsonl.zst").write_bytes(b"rubbish" * 99)
    (folder / "current.jsonl").write_text(
        "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in LIFE)
    )
    code, out, err = run("why", "web", "--dir", str(tmp_path))
    assert (code, out.splitlines()[0]) == (1, "web was stopped (uid 1000, pid 9)")
    assert err.startswith(f"supervisor: {folder}/2026-11-24T02-00-00.000000Z.jsonl.zst is damaged: ")
    assert len(err.splitlines()) == 1
