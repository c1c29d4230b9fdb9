"""Holds: `supervisor logs` finds what is asked for, with and without a supervisor, and follows over every restart."""

import contextlib
import json
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.cli.main import main
from tests.support.accounts import ALICE, GROUP, become, child
from tests.support.running import PATIENCE, Running, Supervise, shell

pytestmark = pytest.mark.kernel

COUNTS = "n=0; while :; do n=$((n+1)); echo $n; sleep 0.02; done"
Records = list[dict[str, Any]]


class Following:
    """What a command that follows has printed."""

    def __init__(self, running: Running, pipe: int) -> None:
        self.records: Records = []
        self._running = running
        self._pipe = pipe
        self._rest = b""

    def until(self, holds: Callable[[Records], bool]) -> None:
        while not holds(self.records):
            assert select.select([self._pipe], [], [], PATIENCE)[0], self._running.report()
            data = os.read(self._pipe, 65536)
            assert data, self._running.report()
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.records += map(json.loads, lines)


@contextlib.contextmanager
def following(running: Running, uid: int) -> Iterator[Following]:
    with child() as (pid, pipe):
        if pid == 0:
            if uid:
                become(uid, (GROUP,))
            sys.stdout = os.fdopen(pipe, "w")
            main(["--runtime-dir", str(running.runtime_dir), "logs", "-f", "--json", "one"])
            os._exit(0)
        yield Following(running, pipe)


def places(records: Records) -> list[tuple[int, int]]:
    return [(one["run"], one["seq"]) for one in records]


def daemon(running: Running) -> int:
    """PID of the unprivileged half."""
    helper = running.info()["pid"]
    for pid in Path(f"/proc/{helper}/task/{helper}/children").read_text().split():
        if b"supervisor.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return int(pid)
    raise AssertionError(running.report())


@pytest.mark.parametrize("uid", [0, ALICE])
def test_a_follower_misses_nothing_over_restarts_of_container_and_supervisor(
    supervise: Supervise, tmp_path: Path, uid: int
) -> None:
    """Root by the files, somebody else by the socket; over rotation, SIGKILL of the daemon, stop and start."""
    logs = {"dir": tmp_path / "instance1" / "logs", "segment": "4KiB"}
    running = supervise.prepare(
        {"one": shell(COUNTS, restart="always")}, settings={"logs": logs, "group": GROUP}
    )
    running.short.chmod(0o755)
    running.start()
    with following(running, uid) as follower:
        follower.until(lambda records: len(records) > 40)
        running.done("restart", "one")
        follower.until(lambda records: records[-1]["run"] == 2)
        os.kill(daemon(running), signal.SIGKILL)
        running.until_answering()
        last = places(follower.records)[-1]
        follower.until(lambda records: places(records)[-1] > (last[0], last[1] + 20))
        running.stop()
        running.start()
        follower.until(lambda records: places(records)[-1] > (3, 40))
        running.until(lambda: list((running.log_dir / "one").glob("*.zst")), "a compressed segment")
    found = places(follower.records)
    assert found == places(asked(running, "one"))[: len(found)]
    for run in {run for run, _ in found}:
        seqs = [seq for each, seq in found if each == run]
        assert seqs == list(range(1, len(seqs) + 1))


def asked(running: Running, *arguments: str) -> Records:
    return [json.loads(line) for line in running.done("logs", "--json", *arguments).splitlines()]


def test_logs_are_found_by_what_they_hold_with_and_without_a_supervisor(supervise: Supervise) -> None:
    script = """echo '{"level": "info", "http": {"status": 200}}'; echo '{"http": {"status": 500}}'; echo plain; echo oops >&2"""
    running = supervise({"one": shell(script, output={"format": "json"})})
    running.state("one", "exited")
    first = running.logs("one")[0]["ts"]

    def found(*arguments: str) -> list[Any]:
        return [one.get("line") or one["data"]["http"]["status"] for one in asked(running, *arguments)]

    def answers() -> dict[str, list[Any]]:
        return {
            "all": sorted(map(str, found("one"))),
            "stream": found("--stream", "stderr"),
            "field": found("--field", "http.status=500"),
            "grep": found("--grep", "^pl.in$"),
            "reverse": found("--stream", "stdout", "--reverse"),
            "since": sorted(map(str, found("--since", first))),
            "until": found("--until", first),
            "boot": sorted(map(str, found("--since", "boot", "--run", "1"))),
            "last": found("-n", "1", "--grep", "o"),
            "none": found("--run", "2"),
        }

    alive = answers()
    assert alive["all"] == alive["since"] == alive["boot"] == ["200", "500", "oops", "plain"]
    assert (alive["stream"], alive["field"], alive["grep"]) == (["oops"], [500], ["plain"])
    assert (alive["reverse"], alive["until"], alive["none"]) == (["plain", 500, 200], [], [])
    running.stop()
    assert answers() == alive
    assert running.call("logs", "nobody").returncode == 3
