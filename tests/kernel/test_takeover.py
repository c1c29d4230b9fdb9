"""Holds of a supervisor whose helper, or both halves, were killed: the next start carries on with the same processes, run
numbers, delays, exit statuses and lines, as if nothing had been; and whatever it was doing meanwhile is done.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.killing import daemon, helper, holders, kill_both, kill_daemon, kill_helper
from tests.support.numbers import Counting
from tests.support.running import Running, Supervise, gone, shell, table

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
KEPT = ("name", "state", "pid", "run", "restarts", "exit", "started_at", "ready", "healthy")


def known(running: Running) -> list[dict[str, object]]:
    return [{key: one[key] for key in KEPT} for one in running.status()]


def go(running: Running, name: str, file: str) -> None:
    """Let a container go on that waits for a line in a FIFO of its own."""
    Path(f"/proc/{running.of(name)['pid']}/root/tmp/{file}").write_text("go\n")


def held(pid: int) -> set[str]:
    """What its descriptors are; of one that has just begun, it may close some meanwhile."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add(os.readlink(file))
    return found


def rewrite(running: Running, containers: dict[str, dict[str, object]]) -> None:
    head = (running.configs / "all.toml").read_text().partition("[container.")[0]
    text = [table(f"container.{name}", keys) for name, keys in containers.items()]
    (running.configs / "all.toml").write_text(head + "\n".join(text))


# ── both ───────────────────────────────────────────────────────────────────────────────


def test_the_next_start_knows_everything_that_lives_and_how_what_does_not_ended(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER), "two": shell(FOREVER), "done": shell("exit 4")})
    running.state("done", "exited")
    running.done("restart", "two")
    before = known(running)
    kill_both(running)
    running.start()
    running.until(lambda: known(running) == before, f"{before}")
    running.done("restart", "one")
    assert running.of("one")["run"] == 2
    assert [record["containers"] for record in running.events("supervisor.adopted")] == [2]


def test_until_then_every_command_says_how_many_containers_run_on(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER), "two": shell(FOREVER), "done": shell("exit 0")})
    running.state("done", "exited")
    kill_both(running)
    for command in (["status"], ["stop"], ["stop", "one"], ["exec", "one", "--", "true"]):
        asked = running.call(*command)
        assert asked.returncode == 3
        assert "; 2 containers still run: `supervisor start CONFIG` takes them over" in asked.stderr
    running.start()
    assert running.call("status").stderr == ""


def test_what_a_container_says_and_how_it_ends_while_both_are_dead_is_not_lost(supervise: Supervise) -> None:
    script = "mkfifo /tmp/go; echo ready; read -r go </tmp/go; seq 1 5000; echo oops >&2; exit 7"
    running = supervise({"one": shell(script)})
    running.line("one", "ready")
    pid = running.of("one")["pid"]
    root = Path(f"/proc/{pid}/root/tmp/go")
    kill_both(running)
    root.write_text("go\n")
    running.until(lambda: gone(pid), "its end")
    running.start()
    assert running.state("one", "exited")["exit"]["code"] == 7
    assert running.lines("one") == ["ready", *map(str, range(1, 5001))]
    assert running.lines("one", "stderr") == ["oops"]
    assert [one["seq"] for one in running.logs("one", "stdout")] == list(range(1, 5002))


def test_one_who_waits_to_be_restarted_waits_no_longer_than_before(supervise: Supervise) -> None:
    backoff = {"initial": "1s", "factor": 1000.0, "max": "1h", "jitter": 0.0}
    running = supervise({"one": shell("exit 1", restart={"policy": "always", "backoff": backoff})})
    running.state("one", "backoff")
    kill_both(running)
    running.start()
    assert running.state("one", "backoff", run=2)["restarts"] == 1
    kill_both(running)
    running.start()
    now = running.of("one")
    assert (now["state"], now["run"], now["restarts"]) == ("backoff", 2, 1)
    assert {one["run"] for one in running.events("container.starting", "one")} == {1, 2}


def test_what_is_not_in_the_files_any_more_is_ended_and_leaves_nothing(supervise: Supervise) -> None:
    running = supervise({"stays": shell(FOREVER), "goes": shell(FOREVER)})
    stays, goes = running.of("stays")["pid"], running.of("goes")["pid"]
    kill_both(running)
    rewrite(running, {"stays": shell(FOREVER)})
    running.start()
    assert running.of("stays")["pid"] == stays
    assert gone(goes)
    assert [one["name"] for one in running.status()] == ["stays"]
    running.until(lambda: os.listdir(running.runtime_dir / "containers") == ["stays"], "its FIFOs are gone")
    assert not [one for one in running.cgroups() if one.name == "goes"]


def test_limits_that_changed_in_the_files_are_in_force_and_what_needs_a_restart_is_told_of(
    supervise: Supervise,
) -> None:
    running = supervise(
        {"limited": shell(FOREVER, cgroup={"cpu.max": "10%", "cpu.weight": 50}), "changed": shell(FOREVER)}
    )
    folder = running.controller("limited", "cpu")
    before = {name: running.of(name)["pid"] for name in running.names}
    kill_both(running)
    rewrite(
        running,
        {"limited": shell(FOREVER, cgroup={"cpu.max": "50%"}), "changed": shell(FOREVER, env={"A": "1"})},
    )
    for _ in range(2):  # it is known to one after the other
        running.start()
        assert {name: running.of(name)["pid"] for name in running.names} == before
        assert limits(folder) in (["50000 100000", "100"], ["50000", "1024"])
        running.event("container.reconfigured", "changed", how="at its next run", keys=["env.A"])
        assert running.done("plan") == "restart  changed  env.A\n"
        kill_both(running)
    running.start()
    running.done("reload")
    assert running.of("limited")["pid"] == before["limited"]
    assert running.state("changed", "running", run=2)["pid"] != before["changed"]
    assert json.loads(running.done("plan", "--json"))["restarted"] == []


def limits(folder: Path) -> list[str]:
    """cpu.max and cpu.weight, or v1's words for them."""
    names = ("cpu.max", "cpu.weight") if (folder / "cpu.max").exists() else ("cpu.cfs_quota_us", "cpu.shares")
    return [(folder / name).read_text().strip() for name in names]


def test_who_would_keep_its_logs_where_another_does_is_refused(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER)})
    other = supervise.prepare({"one": shell(FOREVER)}, settings={"logs": {"dir": running.log_dir}})
    done = other.call("start", f"{other.configs}/")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"supervisor: another supervisor keeps its logs in {running.log_dir}; set logs.dir in [supervisor]\n"
    )
    running.stop()
    other.start()


def test_after_a_reboot_runs_are_numbered_on_from_those_on_record(supervise: Supervise) -> None:
    running = supervise({"one": shell("echo said"), "quiet": shell("true")})
    for run in (1, 2, 3):
        assert running.state("one", "exited")["run"] == run
        running.stop()
        shutil.rmtree(running.runtime_dir)  # it is on a tmpfs
        running.start()
    running.state("one", "exited")
    assert [(record["run"], record["seq"]) for record in running.logs("one")] == [
        (1, 1),
        (2, 1),
        (3, 1),
        (4, 1),
    ]


def test_of_two_starts_at_once_one_takes_over_and_the_other_is_refused(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER)})
    before = running.of("one")["pid"]
    kill_both(running)
    command = [*running.program, "start", f"{running.configs}/"]
    both = [
        subprocess.Popen(command, env=running.environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    running.until(lambda: any(one.poll() is not None for one in both), "one that gives up")
    loser, winner = sorted(both, key=lambda one: one.poll() is None)
    assert loser.stderr
    with loser.stderr as said:
        assert b"already running" in said.read()
    assert loser.returncode == 1
    assert winner.stderr
    winner.stderr.close()
    running.process = winner
    running.until_answering()
    assert running.of("one")["pid"] == before


def test_a_stranger_that_has_the_pid_of_a_run_by_now_is_neither_taken_for_it_nor_ended(
    supervise: Supervise,
) -> None:
    running = supervise({"one": shell(FOREVER)})
    note = running.runtime_dir / "containers/one/run"
    folder = Path(running.of("one")["cgroup"])
    kill_both(running)
    run, init = note.read_text().split()[:2]
    (folder / "cgroup.kill").write_text("1")
    running.until(lambda: gone(int(init)), "its end")
    stranger = subprocess.Popen(["sleep", "100000"])
    try:
        began = Path(f"/proc/{stranger.pid}/stat").read_text().rpartition(")")[2].split()[19]
        note.write_text(f"{run} {stranger.pid} {stranger.pid} {began} {began}\n")
        running.start()
        assert running.state("one", "exited", "failed")["exit"]["signal"] == signal.SIGKILL
        running.done("stop", "one")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


# ── the helper ─────────────────────────────────────────────────────────────────────────


def test_without_a_helper_output_and_ends_are_recorded_and_status_says_what_to_do(
    supervise: Supervise,
) -> None:
    script = "mkfifo /tmp/go; echo ready; read -r go </tmp/go; echo late; exit 3"
    running = supervise({"one": shell(script), "two": shell(FOREVER)})
    running.line("one", "ready")
    two = running.of("two")["pid"]
    kill_helper(running)
    running.event("supervisor.helper_lost")
    go(running, "one", "go")
    assert running.state("one", "exited", "failed")["exit"]["code"] == 3
    assert running.lines("one") == ["ready", "late"]
    status = running.call("status")
    assert status.returncode == 0
    assert "helper is gone" in status.stderr
    assert json.loads(running.done("status", "--json"))
    for command in (["restart", "two"], ["exec", "two", "--", "true"]):
        refused = running.call(*command)
        assert refused.returncode == 3
        assert refused.stderr.startswith("supervisor: the helper is gone; ")
    running.start()
    assert running.of("two")["pid"] == two
    assert running.of("one")["exit"]["code"] == 3
    assert running.call("status").stderr == ""
    running.done("restart", "two")


ASKED_TO_END = "mkfifo /tmp/go; echo ready; read -r go </tmp/go; echo late"
#: Has its own output open all the time, and writes to it whoever is there to read.
STEADY = "i=0; while sleep 0.01; do i=$((i + 1)); echo $i; done"


@pytest.mark.parametrize("which", [0, 1])
def test_a_holder_helper_and_daemon_killed_at_once_lose_nothing_of_a_run_that_ends_in_that_moment(
    supervise: Supervise, which: int
) -> None:
    running = supervise({"one": shell(ASKED_TO_END), "two": shell(STEADY)})
    running.line("one", "ready")
    running.line("two", "1")
    first, pid = holders(running), running.of("one")["pid"]
    root = Path(f"/proc/{pid}/root/tmp/go")
    kill_both(running, first[which])
    root.write_text("go\n")
    running.until(lambda: gone(pid), "its end")
    running.start()
    assert running.result("one") == ["ready", "late"]
    running.until(lambda: all(map(gone, first)), "the end of the holder of the helper that was killed")
    running.done("stop", "two")
    counting = Counting("two")
    for one in running.logs("two", "stdout"):
        counting.take(one)
    assert counting.lines == len(running.lines("two"))


def test_a_holder_that_is_killed_is_followed_by_one_that_is_born_with_what_it_holds(
    supervise: Supervise,
) -> None:
    running = supervise({"one": shell(ASKED_TO_END)})
    running.line("one", "ready")
    old, pid = holders(running), running.of("one")["pid"]
    root = Path(f"/proc/{pid}/root/tmp/go")
    for one in old:
        os.kill(one, signal.SIGKILL)
        new = running.until(lambda one=one: [] if one in holders(running) else holders(running), "another")  # type: ignore[misc]
    kill_both(running)  # as soon as they are there: nobody has had time to tell them anything
    outputs = {f"{running.runtime_dir}/containers/one/{name}" for name in ("stdout", "stderr")}
    for one in new:
        assert outputs <= held(one)
    root.write_text("go\n")
    running.until(lambda: gone(pid), "its end")
    running.start()
    assert running.result("one") == ["ready", "late"]


@pytest.mark.parametrize("which", [0, 1])
def test_the_holder_has_no_rights_and_nothing_but_the_outputs(supervise: Supervise, which: int) -> None:
    running = supervise({"one": shell(FOREVER)})
    folder = Path(f"/proc/{holders(running)[which]}")
    running.until(lambda: len(list((folder / "fd").iterdir())) == 6, "two outputs")
    text = (folder / "status").read_text()
    found = {key: value.split() for key, _, value in (line.partition(":") for line in text.splitlines())}
    assert {found[key][0] for key in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    targets = {os.readlink(one) for one in (folder / "fd").iterdir()}
    outputs = {f"{running.runtime_dir}/containers/one/{name}" for name in ("stdout", "stderr")}
    assert {one for one in targets if not one.startswith("socket:")} == {"/dev/null", *outputs}
    running.done("stop", "one")
    running.until(lambda: len(list((folder / "fd").iterdir())) == 4, "none")


# ── the daemon ─────────────────────────────────────────────────────────────────────────


def test_a_daemon_that_dies_again_and_again_is_started_again_and_again_but_later_and_later(
    supervise: Supervise,
) -> None:
    running = supervise({"one": shell(FOREVER)})
    before = running.of("one")["pid"]
    for _ in range(5):
        kill_daemon(running)
    assert running.of("one")["pid"] == before
    assert len(running.events("supervisor.started")) == 6
    assert not gone(daemon(running))
    assert not gone(helper(running))
