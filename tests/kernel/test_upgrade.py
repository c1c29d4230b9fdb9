"""Holds of an upgrade: the program as it is installed now takes over in the same process, containers untouched; and what
a run directory says of itself is believed: another format is refused, another boot cleaned away.
"""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.killing import daemon, helper, kill_both
from tests.support.running import Running, Supervise, gone, shell

pytestmark = pytest.mark.kernel

COUNT = "trap 'exit 0' TERM; i=0; while :; do i=$((i + 1)); echo $i; sleep 0.001; done"
BARE = "trap 'exit 7' TERM; while :; do sleep 0.05; done"
FOREVER = "exec sleep 100000"


@pytest.fixture
def running(supervise: Supervise) -> Running:
    return supervise({"count": shell(COUNT), "one": shell(FOREVER), "bare": shell(BARE, init=False)})


def state(running: Running, **changes: Any) -> dict[str, Any]:
    """What the run directory says of itself, after these changes."""
    path = running.runtime_dir / "state"
    found: dict[str, Any] = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(found))
    return found


def test_containers_do_not_notice_and_the_helper_keeps_its_pid(running: Running) -> None:
    before, pid, old = running.status(), helper(running), daemon(running)
    running.line("count", "20")
    for _ in range(2):
        said = running.done("upgrade")
        assert "3 containers taken over" in said
    assert helper(running) == pid == running.info()["pid"]
    assert daemon(running) != old
    assert [one["pid"] for one in running.status()] == [one["pid"] for one in before]
    bare = running.of("bare")["pid"]
    os.kill(bare, signal.SIGTERM)  # without an init of ours, known to its parent alone
    assert running.state("bare", "exited", "failed", "backoff")["exit"]["code"] == 7
    running.done("restart", "one")
    running.done("stop", "count")
    lines = running.lines("count")
    assert lines == [str(number + 1) for number in range(len(lines))]
    assert running.of("count")["exit"]["code"] == 0


def test_files_that_are_wrong_stop_it_before_anything_is_changed(running: Running) -> None:
    started = running.info()["started_at"]
    path = running.configs / "all.toml"
    good = path.read_text()
    path.write_text(good.replace("rootfs", "rotfs", 1))
    done = running.call("upgrade")
    assert done.returncode == 2
    assert "rotfs" in done.stderr
    path.write_text(good)
    assert running.info()["started_at"] == started


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"format": 999}, "in format 999"), ({"python": "/opt/other/bin/python"}, "/opt/other/bin/python")],
)
def test_what_cannot_take_over_is_refused(running: Running, changes: dict[str, Any], words: str) -> None:
    was, started = json.loads((running.runtime_dir / "state").read_text()), running.info()["started_at"]
    state(running, **changes)
    done = running.call("upgrade")
    state(running, **was)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") <= 2
    assert running.info()["started_at"] == started


def test_a_run_directory_in_another_format_is_refused_by_the_next_start_too(running: Running) -> None:
    pids = [one["pid"] for one in running.status()]
    kill_both(running)
    was = json.loads((running.runtime_dir / "state").read_text())
    state(running, format=999, version="9.9")
    done = running.call("start", f"{running.configs}/")
    assert done.returncode == 1
    assert "left by supervisor 9.9" in done.stderr
    assert not [pid for pid in pids if gone(pid)]
    state(running, **was)
    running.start()
    assert [one["pid"] for one in running.status()] == pids


def test_a_run_directory_from_another_boot_is_begun_anew(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER)})
    running.stop()
    containers = running.runtime_dir / "containers/one"
    containers.mkdir(parents=True)
    (containers / "run").write_text(f"7 {os.getpid()} {os.getpid()} 1 1\n")
    os.mkfifo(containers / "stdout")
    (running.runtime_dir / "daemon/stranger.json").write_text("{")
    state(running, boot="00000000-0000-0000-0000-000000000000")
    running.start()
    assert running.of("one")["run"] == 1
    assert "before the last boot" in running.said.read_text()
    assert not Path(running.runtime_dir / "daemon/stranger.json").exists()
    assert state(running)["boot"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
