"""The main job, on cgroup v2 alone: one supervisor of three capped containers, from start to stop, as root."""

from pathlib import Path

import pytest

from tests.support.running import Supervise, shell

pytestmark = pytest.mark.vm

#: tail keeps a line in memory until it ends, and this one never does.
EATER = "exec tail -n 1 /dev/zero"
SPINNER = "while :; do :; done"
BOMB = "(while :; do sleep 1000 & done) & exec sleep 1000"


def test_three_containers_run_under_their_limits_are_told_of_and_stopped(supervise: Supervise) -> None:
    running = supervise(
        {
            "hog": shell(SPINNER, cgroup={"cpu.max": "10000", "cpu.weight": 50, "io.weight": 200}),
            "bomb": shell(BOMB, cgroup={"pids.max": 12}),
            "eater": shell(EATER, cgroup={"memory.max": "16MiB", "memory.oom.group": True}),
        }
    )
    folders = {name: Path(running.of(name)["cgroup"]) for name in ("hog", "bomb")}
    files = [("hog", "cpu.max"), ("hog", "cpu.weight"), ("hog", "io.weight"), ("bomb", "pids.max")]
    assert [(folders[name] / file).read_text().strip() for name, file in files] == [
        "10000 100000", "50", "default 200", "12",
    ]  # fmt: skip
    assert {folder.parent.name for folder in folders.values()} == {running.subtree}

    assert running.state("eater", "exited")["exit"] == {
        "code": None,
        "signal": 9,
        "oom": True,
        "reason": "oom",
    }
    running.event("memory.oom_kill", "eater")
    assert running.event("container.exited", "eater")["oom"] is True
    running.event("cgroup.throttled", "hog")
    assert running.of("hog")["cpu"]["nr_throttled"] > 0
    running.until(lambda: "max 0" not in (folders["bomb"] / "pids.events").read_text(), "a fork is refused")
    assert int((folders["bomb"] / "pids.current").read_text()) <= 12

    table = running.done("status")
    assert [name for name in ("hog", "bomb", "eater") if name not in table] == []
    running.stop()
    assert not [folder for folder in folders.values() if folder.exists()]
