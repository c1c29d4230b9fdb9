"""Holds of `supervisor why`: it tells how each run began and ended, who asked for it, what it used and printed last,
also after the supervisor came back, and while none runs.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, Supervise, cgroup_mounts, shell

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
V1 = {mount.name for mount in cgroup_mounts()}
#: Where this machine's cores go, as core(5) has it.
CORES = Path("/proc/sys/kernel/core_pattern").read_text()
#: tail keeps a line in memory until it ends, and this one never does.
EATER = "tail /dev/zero"


def why(running: Running, name: str, *more: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(running.done("why", name, "--json", *more))
    return told


def test_each_run_is_told_with_its_reason_its_end_and_its_last_lines(supervise: Supervise) -> None:
    script = "for n in $(seq 30); do echo line $n; done; echo oops >&2; exit 3"
    backoff = {"initial": "20ms", "factor": 1.0, "jitter": 0.0}
    restart = {"policy": "on-failure", "backoff": backoff, "limit": {"failures": 2, "within": "1h"}}
    running = supervise({"web": shell(script, restart=restart)})
    running.state("web", "failed")
    told = why(running, "web")
    assert told["summary"].startswith("web failed: 3 failures within 3600 s")
    assert [each["run"] for each in told["runs"]] == [3, 2, 1]
    for each in told["runs"]:
        assert each["ended"] == "exit code 3"
        assert each["exit"]["reason"] == "exit"
        assert [line["line"] for line in each["output"] if line["stream"] == "stderr"] == ["oops"]
        assert len(each["output"]) == 20
        assert [line["line"] for line in each["output"] if line["stream"] == "stdout"][-1] == "line 30"
        assert each["asked_at"] <= each["started_at"] <= each["ended_at"]
        assert each["cpu"]["usage_usec"] >= 0
    assert told["runs"][2]["started"] == "boot"
    assert told["runs"][2]["then"]["event"] == "container.backoff"
    assert told["runs"][0]["then"]["event"] == "container.failed"
    assert [each["run"] for each in why(running, "web", "-n", "1")["runs"]] == [3]


def test_people_read_sentences(supervise: Supervise) -> None:
    running = supervise({"web": shell("echo the last word; kill -SEGV $$")})
    running.state("web", "exited")
    text = running.done("why", "web")
    assert text.startswith("web ended: killed by SIGSEGV\n")
    assert "run 1: killed by SIGSEGV" in text
    assert "    | the last word" in text


def test_the_operator_who_asked_is_named(supervise: Supervise) -> None:
    running = supervise({"web": shell(FOREVER)})
    running.done("restart", "web")
    running.done("stop", "web")
    told = why(running, "web")
    assert told["summary"].startswith(f"web was stopped (uid {os.geteuid()}, pid ")
    second, first = told["runs"]
    assert first["exit"]["by"] == second["exit"]["by"] == "operator"
    assert first["exit"]["operator"]["uid"] == second["exit"]["operator"]["uid"] == os.geteuid()
    assert first["exit"]["operator"] == second["started_by"]
    assert first["exit"]["operator"] != second["exit"]["operator"]


def test_a_signal_that_an_operator_sent_explains_the_death_by_it(supervise: Supervise) -> None:
    running = supervise({"web": shell(FOREVER)})
    running.done("kill", "web", "-s", "KILL")
    running.state("web", "exited")
    assert "killed by SIGKILL, sent by an operator (uid" in why(running, "web")["runs"][0]["ended"]


@pytest.mark.skipif("memory" in V1, reason="memory is a v1 controller here")
def test_running_out_of_memory_names_the_limit(supervise: Supervise) -> None:
    limits = {"memory.max": "16MiB", "memory.oom.group": True}
    running = supervise({"eater": shell(EATER, cgroup=limits)})
    running.state("eater", "exited", "failed")
    run = why(running, "eater")["runs"][0]
    assert run["ended"].endswith("out of memory (memory.max 16MiB)")
    assert run["memory"]["oom_kill"] > 0
    assert run["memory"]["peak"] is None or run["memory"]["peak"] > 8 << 20


@pytest.mark.skipif(CORES[:1] in {"|", "/"}, reason="cores go to a program or a folder of this machine's")
def test_a_core_that_was_dumped_is_told_with_the_signal(supervise: Supervise) -> None:
    script = "cd /tmp; kill -SEGV $$"
    running = supervise({"none": shell(script), "some": shell(script, rlimits={"core": "unlimited"})})
    for name, words in (("none", "killed by SIGSEGV"), ("some", "killed by SIGSEGV, core dumped")):
        running.state(name, "exited", "failed")
        run = why(running, name)["runs"][0]
        assert run["ended"] == words
        assert run["exit"]["core"] is (name == "some")


def test_a_launch_that_failed_is_told_with_its_stage(supervise: Supervise) -> None:
    running = supervise({"web": {"rootfs": "host", "command": ["/nowhere/program"]}})
    running.state("web", "failed")
    run = why(running, "web")["runs"][0]
    assert run["ended"].startswith("it could not be launched: exec /nowhere/program ENOENT")
    assert run["exit"]["failure"]["stage"] == "exec"


def test_a_throttled_run_says_what_would_have_sufficed(supervise: Supervise) -> None:
    busy = shell("while :; do :; done", cgroup={"cpu.max": "10%"})
    running = supervise({"busy": busy})
    running.event("cgroup.throttled", "busy")
    told = why(running, "busy")
    assert "of periods: cpu.max 10 % would have had to be" in told["slow"]
    assert told["runs"][0]["cpu"]["throttled_percent"] > 0
    assert told["runs"][0]["cpu"]["sufficient_percent"] > 10


def test_history_outlives_the_supervisor_and_is_read_without_one(supervise: Supervise) -> None:
    running = supervise({"web": shell("echo first", restart="never")})
    running.state("web", "exited")
    running.stop()
    told = why(running, "web")
    assert told["offline"]
    assert "no supervisor is running" in told["note"]
    assert [line["line"] for line in told["runs"][0]["output"]] == ["first"]
    from_records = why(running, "web", "--dir", str(running.log_dir))
    assert [each["ended"] for each in from_records["runs"]] == ["exit code 0"]
    assert [line["line"] for line in from_records["runs"][0]["output"]] == ["first"]
    running.start()
    running.state("web", "exited", run=2)
    told = why(running, "web")
    assert [each["run"] for each in told["runs"]] == [2, 1]
    assert [each["exit"]["code"] for each in told["runs"]] == [0, 0]


def test_of_a_container_that_nobody_knows_there_is_nothing_to_tell(supervise: Supervise) -> None:
    running = supervise({"web": shell(FOREVER)})
    assert running.call("why", "wbe").returncode == 3
    assert 'did you mean "web"?' in running.call("why", "wbe").stderr


def test_a_reload_is_named_with_the_key_that_caused_it(supervise: Supervise) -> None:
    running = supervise({"web": shell(FOREVER, restart="always")})
    file = running.configs / "all.toml"
    file.write_text(file.read_text().replace("[container.web]", '[container.web]\nhostname = "other"'))
    running.done("reload")
    second, first = why(running, "web")["runs"]
    assert first["ended"].startswith("stopped because its configuration changed (hostname)")
    assert second["run"] == 2


def test_a_failed_probe_is_named(supervise: Supervise) -> None:
    health = {"type": "exec", "command": ["/bin/false"], "interval": "50ms", "retries": 2}
    running = supervise.prepare({"web": shell(FOREVER, restart="always", health=health)})
    if running.call("check", f"{running.configs}/").returncode:
        pytest.skip("health probes are not supported yet")
    running.start()
    running.event("container.exited", "web", reason="health")
    assert why(running, "web")["runs"][-1]["ended"].startswith("ended because it was unhealthy")
