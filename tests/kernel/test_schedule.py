"""Holds of periodic containers with real processes: they run at their times and at no other, once at a time."""

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.running import PROGRAM, Running, Supervise, shell

pytestmark = pytest.mark.kernel

#: Six fields: the first is seconds.
ALWAYS = "* * * * * *"
NEVER = "0 0 1 1 *"
FOREVER = "exec sleep 100000"


def begin(running: Running) -> None:
    """As start(), which would wait for containers that wait for their time."""
    with running.said.open("ab") as said:
        running.process = subprocess.Popen(
            [*PROGRAM, "start", f"{running.configs}/"], cwd=running.folder, env=running.environment,
            stdin=subprocess.DEVNULL, stdout=said, stderr=said, start_new_session=True,
        )  # fmt: skip
    running.until_answering()


def test_a_job_waits_for_its_time_and_says_when_that_is(supervise: Supervise) -> None:
    running = supervise.prepare({"yearly": shell("echo ran", schedule=NEVER), "web": shell(FOREVER)})
    begin(running)
    running.state("web", "running")
    waiting = running.state("yearly", "waiting")
    assert waiting["next_run"].endswith("-01-01T00:00:00.000000Z")
    assert "its next run is due at" in running.done("why", "yearly")
    running.done("start", "yearly")
    assert running.result("yearly") == ["ran"]
    assert running.of("yearly")["next_run"] == waiting["next_run"]


def test_a_job_runs_at_each_of_its_times(supervise: Supervise) -> None:
    running = supervise.prepare({"tick": shell("echo tick", schedule=ALWAYS)})
    begin(running)
    running.state("tick", "exited", run=3)
    starts = running.events("container.starting", "tick")
    assert {one["why"] for one in starts} == {"start asked by schedule"}
    assert [one["run"] for one in starts[:3]] == [1, 2, 3]
    assert len({one["ts"][:19] for one in running.events("schedule.due", "tick")}) >= 3


def test_a_time_that_comes_while_it_runs_is_skipped_and_on_record(supervise: Supervise) -> None:
    running = supervise.prepare({"slow": shell(FOREVER, schedule=ALWAYS)})
    begin(running)
    skipped = running.event("schedule.skipped", "slow")
    assert skipped["why"] == "run 1 is still under way"
    running.until(lambda: len(running.events("schedule.skipped", "slow")) > 2, "three more times")
    assert len(running.events("container.starting", "slow")) == 1


def test_with_restart_a_time_ends_the_run_that_is_under_way(supervise: Supervise) -> None:
    running = supervise.prepare({"slow": shell(FOREVER, schedule={"cron": ALWAYS, "overlap": "restart"})})
    begin(running)
    running.state("slow", "running", run=3)
    assert running.event("container.stopping", "slow")["by"] == "schedule"


def test_what_an_operator_stopped_is_not_started_by_its_time(supervise: Supervise) -> None:
    running = supervise.prepare({"tick": shell("true", schedule=ALWAYS)})
    begin(running)
    running.state("tick", "exited")
    running.done("stop", "tick")
    skipped = running.event("schedule.skipped", "tick", level="info")  # a warning: a run was under way
    assert "stopped by hand" in skipped["why"]
    last = running.of("tick")["run"]
    running.until(lambda: len(running.events("schedule.skipped", "tick")) > 2, "three more times")
    assert running.of("tick")["run"] == last
    running.done("start", "tick")
    running.state("tick", "exited", run=last + 2)


def test_times_missed_while_no_supervisor_was_there_are_told_and_made_up_for_if_wanted(
    supervise: Supervise,
) -> None:
    schedule = {"cron": ALWAYS, "missed": "run"}
    running = supervise.prepare(
        {"tick": shell("true", schedule=schedule), "tock": shell("true", schedule=ALWAYS)}
    )
    begin(running)
    for name in ("tick", "tock"):
        running.state(name, "exited")
    running.stop()
    ended = running.events("container.exited", "tock")[-1]["run"]
    # What the ledger says is set back an hour: nobody waits that long.
    for name in ("tick", "tock"):
        file = running.runtime_dir / "daemon" / f"{name}.json"
        kept = json.loads(file.read_text())
        kept["content"]["memory"]["scheduled"] -= 3600.0
        file.write_text(json.dumps(kept))
    running.process = None
    begin(running)
    for name in ("tick", "tock"):
        assert running.event("schedule.missed", name, why="no supervisor was there")["times"] >= 1000
    assert running.event("schedule.due", "tick", why="times were missed")
    assert not running.events("schedule.due", "tock", why="times were missed")
    running.state("tock", "exited", run=ended + 1)


def test_a_run_that_outlived_the_unprivileged_half_is_not_started_twice(supervise: Supervise) -> None:
    running = supervise.prepare({"slow": shell(FOREVER, schedule=ALWAYS)})
    begin(running)
    pid = running.state("slow", "running")["pid"]
    assert running.process is not None
    helper = running.process.pid
    children = Path(f"/proc/{helper}/task/{helper}/children").read_text().split()
    daemons = [
        int(child)
        for child in children
        if b"supervisor.daemon" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    os.kill(daemons[0], signal.SIGKILL)
    before = len(running.events("schedule.skipped", "slow"))
    running.event("container.adopted", "slow")
    running.until(lambda: len(running.events("schedule.skipped", "slow")) > before + 1, "its times go on")
    assert running.of("slow")["pid"] == pid
    assert running.of("slow")["run"] == 1


def test_a_reload_changes_a_schedule_in_place(supervise: Supervise) -> None:
    running = supervise.prepare({"tick": shell("true", schedule=NEVER), "web": shell(FOREVER)})
    begin(running)
    running.state("web", "running")
    file = running.configs / "all.toml"
    file.write_text(file.read_text().replace(json.dumps(NEVER), json.dumps(ALWAYS)))
    assert json.loads(running.done("reload", "--json"))["changed"] == [
        {"name": "tick", "keys": ["schedule.cron"]}
    ]
    running.state("tick", "exited", run=2)
    assert not running.events("schedule.missed", why="no supervisor was there")
    file.write_text(
        file.read_text()
        + '\n[container.late]\nrootfs = "host"\ncommand = ["/bin/true"]\nschedule = "* * * * * *"\n'
    )
    assert json.loads(running.done("reload", "--json"))["added"] == ["late"]
    running.state("late", "exited", run=2)
    assert {one["why"] for one in running.events("container.starting", "late")} == {"start asked by schedule"}
