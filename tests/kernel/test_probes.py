"""Holds of probes in real containers: each kind sees what is there, inside the container and as its service, and ends with all
that it started.
"""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from supervisor.helper.protocol import Request
from tests.support.played import Played, descriptors
from tests.support.running import Running, Supervise, until
from tests.support.services import sleeper, web
from tests.support.visiting import execute

pytestmark = pytest.mark.kernel

HTTP = {"type": "http", "url": "http://localhost:8080/a?b"}
TCP = {"type": "tcp", "address": "127.0.0.1:8080"}


def command(*argv: str, **keys: Any) -> dict[str, Any]:
    return {"type": "exec", "command": list(argv), **keys}


def shell(script: str, **keys: Any) -> dict[str, Any]:
    return command("/bin/sh", "-c", script, **keys)


def healthy(running: Running, name: str) -> None:
    running.until(lambda: running.of(name)["healthy"], f"{name} is well")


def cages(running: Running, name: str) -> list[Path]:
    return list(Path(running.of(name)["cgroup"]).glob("probe-*"))


# ── readiness ──────────────────────────────────────────────────────────────────────────


def test_each_kind_of_probe_sees_readiness_in_a_network_namespace_of_the_containers_own(
    supervise: Supervise,
) -> None:
    running = supervise(
        {
            "http": web(ready=HTTP),
            "tcp": web(ready=TCP),  # the same port: each has a network of its own
            "exec": sleeper("touch /tmp/there", ready=command("/usr/bin/test", "-e", "/tmp/there")),
            "log": sleeper("echo so far; echo up and READY >&2", ready={"type": "log", "pattern": "REA.Y$"}),
        }
    )
    for name in ("http", "tcp", "exec", "log"):
        assert running.event("container.ready", name)["after_s"] >= 0
        assert running.of(name)["ready"]


def test_what_is_not_ready_in_time_is_stopped_and_the_reason_says_what_was_missing(
    supervise: Supervise,
) -> None:
    running = supervise(
        {
            "tcp": sleeper(ready=TCP | {"timeout": "5s"}, restart="never"),
            "exec": sleeper(ready=shell("echo no table yet; exit 3", timeout="5s"), restart="never"),
            "gone": sleeper(ready=command("/nowhere", timeout="5s"), restart="never"),
            "log": sleeper("echo ready", ready={"type": "log", "pattern": "READY", "timeout": "5s"}, restart="never"),
        }
    )  # fmt: skip
    missing = {
        "tcp": "port 8080 of 127.0.0.1: Connection refused",
        "exec": "the command exited with 3: no table yet",
        "gone": "could not be made: exec: /nowhere: No such file or directory",
        "log": "not ready in time (5 s)",
    }
    for name, why in missing.items():
        assert running.event("container.stopping", name)["why"].endswith(why)
        assert running.state(name, "exited", "failed")["exit"]["reason"] == "readiness"
        assert running.events("container.ready", name) == []


def test_a_dependant_starts_when_what_it_waits_for_has_become_ready(supervise: Supervise) -> None:
    running = supervise(
        {"db": web(ready=HTTP), "app": sleeper(depends={"requires": ["db"]}), "other": sleeper()}
    )
    running.state("app", "running")
    order = [one["container"] for one in running.events() if one["event"] == "container.ready"]
    started = [one["container"] for one in running.events() if one["event"] == "container.started"]
    assert order == ["db"]
    assert started.index("app") > started.index("db")
    ready, begun = running.events("container.ready", "db")[0], running.events("container.starting", "app")[0]
    assert ready["ts"] < begun["ts"]


# ── health ─────────────────────────────────────────────────────────────────────────────

HEALTH = {"interval": "100ms", "timeout": "60s", "retries": 2}


def test_an_unhealthy_container_is_restarted_and_the_record_says_what_it_answered(
    supervise: Supervise,
) -> None:
    running = supervise({"web": web(ready=HTTP, health=HTTP | HEALTH)})
    healthy(running, "web")
    execute(running, "web", "/bin/touch", "/tmp/ill")
    failed = running.event("health.failed", "web")
    assert (failed["failures"], failed["why"]) == (2, "answered 503 Service Unavailable")
    assert running.state("web", "running", run=2)["exit"]["reason"] == "health"
    healthy(running, "web")
    assert "unhealthy: answered 503 Service Unavailable" in running.done("why", "web")


def test_with_action_none_illness_and_recovery_are_recorded_and_nothing_else_is_done(
    supervise: Supervise,
) -> None:
    ill = shell("test ! -e /tmp/ill", action="none") | HEALTH
    running = supervise({"web": sleeper(health=ill)})
    healthy(running, "web")
    execute(running, "web", "/bin/touch", "/tmp/ill")
    running.event("health.failed", "web", action="none")
    execute(running, "web", "/bin/rm", "/tmp/ill")
    running.event("health.recovered", "web")
    assert running.of("web")["run"] == 1


def test_a_probe_is_confined_as_the_service_is(supervise: Supervise) -> None:
    facts = "id; grep -E 'Cap|NoNew|Seccomp:' /proc/self/status; ls -l /proc/self/ns | sed 's/.*-> //'; cat /proc/self/uid_map"
    running = supervise(
        {
            "web": sleeper(
                f"({facts}) > /tmp/service", user="1000:1001", env={"MINE": "yes"},
                ready=shell(f"({facts}) > /tmp/probe; cat > /tmp/stdin; env > /tmp/env; test -s /tmp/service"),
            )
        }
    )  # fmt: skip
    running.event("container.ready", "web")
    assert execute(running, "web", "/usr/bin/cmp", "/tmp/service", "/tmp/probe").stdout == b""
    assert execute(running, "web", "/bin/cat", "/tmp/stdin").stdout == b""
    assert b"MINE=yes" in execute(running, "web", "/bin/cat", "/tmp/env").stdout


def test_a_wedged_probe_ends_in_time_with_all_that_it_started_and_delays_no_other(
    supervise: Supervise,
) -> None:
    wedged = shell(
        "trap '' TERM HUP INT; (setsid sleep 7654321 &); (sleep 7654321 &) ; sleep 7654321",
        interval="10ms", timeout="500ms", retries=3, action="none",
    )  # fmt: skip
    running = supervise({"stuck": sleeper(health=wedged), "web": web(ready=HTTP, health=HTTP | HEALTH)})
    failed = running.event("health.failed", "stuck")
    assert failed["why"].startswith("the command had not ended in time")
    healthy(running, "web")
    # Never more than one probe's worth, whatever left its group and session.
    for _ in range(20):
        assert len(sleeps(running)) <= 3
        assert len(cages(running, "stuck")) <= 1


def sleeps(running: Running) -> list[int]:
    """The PIDs of what the probes of a test start."""
    found = (one.partition(": ") for one in running.left_processes())
    return [int(pid) for pid, _, words in found if words == "sleep 7654321 "]


def test_a_daemon_that_dies_takes_its_probes_with_it_and_the_next_one_probes_on(supervise: Supervise) -> None:
    running = supervise({"web": sleeper(health=command("sleep", "7654321", interval="100ms", timeout="1h"))})
    (first,) = running.until(lambda: sleeps(running), "a probe")
    daemon = next(one for one in running.left_processes() if "supervisor.daemon" in one)
    os.kill(int(daemon.partition(":")[0]), signal.SIGKILL)
    running.until(lambda: sleeps(running) not in ([], [first]), "another probe")
    assert len(sleeps(running)) == 1
    assert running.of("web")["run"] == 1


def test_a_service_that_accepts_and_says_nothing_is_not_waited_for(supervise: Supervise) -> None:
    silent = "import socket, time; s = socket.create_server(('127.0.0.1', 8080)); time.sleep(1e6)"
    running = supervise(
        {
            "web": {
                "rootfs": "host",
                "command": ["/usr/bin/python3", "-c", silent],
                "ready": TCP,
                "health": HTTP | {"interval": "10ms", "timeout": "2s", "retries": 2, "action": "none"},
            }
        }
    )
    assert running.event("health.failed", "web")["why"] == "no answer within 2 s"


def test_probes_go_on_by_what_a_reload_says_in_the_same_run(supervise: Supervise) -> None:
    running = supervise({"web": sleeper(health=shell("true") | HEALTH)})
    healthy(running, "web")
    pid = running.of("web")["pid"]
    file = running.configs / "all.toml"
    file.write_text(file.read_text().replace('"true"', '"echo changed; false"'))
    assert "change   web  health.command" in running.done("plan")
    running.done("reload")
    assert running.event("health.failed", "web")["why"] == "the command exited with 1: changed"
    assert running.event("container.exited", "web")["reason"] == "health"
    assert running.state("web", "running", run=2)["pid"] != pid


def test_a_stubborn_unhealthy_service_that_ignores_sigterm_is_killed_after_its_time(
    supervise: Supervise,
) -> None:
    running = supervise(
        {"web": sleeper("trap '' TERM", health=shell("false") | HEALTH, stop={"timeout": "300ms"})}
    )
    # The first run may have been told before its shell had heard of the trap.
    run = running.event("container.killing", "web")["run"]
    assert running.event("container.exited", "web", run=run)["signal"] == 9
    running.state("web", "running", run=run + 1)


# ── the helper's part ──────────────────────────────────────────────────────────────────

Play = Callable[..., Played]


def test_probes_leave_no_process_cgroup_or_descriptor_of_the_helpers_behind(played: Play) -> None:
    play = played({"live": sleeper(ready=TCP, health=shell("(setsid sleep 7654321 &); exit 1"))})
    run = play.launch("live")
    play.until("started")
    before = descriptors(play.pid)
    for kind in ("ready", "health") * 5:
        play.ask(Request("probe", "live", run, kind=kind))
        play.until("probing")
        play.until("probed")
    assert descriptors(play.pid) == before
    assert list(play.leaf("live").glob("probe-*")) == []
    assert len((play.leaf("live") / "cgroup.procs").read_text().split()) == 2  # init and service


def test_a_probe_that_nobody_waits_for_any_more_is_ended(played: Play) -> None:
    play = played({"live": sleeper(health=shell("sleep 7654321", timeout="1h"))})
    run = play.launch("live")
    play.until("started")
    play.ask(Request("probe", "live", run, kind="health"))
    play.until("probing")  # its connection is not kept
    play.until("probed")
    until(lambda: not list(play.leaf("live").glob("probe-*")), "ended")
