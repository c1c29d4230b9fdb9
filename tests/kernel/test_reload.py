"""Holds of a reload: what the files changed is done, to whom they changed it and to nobody else; files that say
nothing sound change nothing; whatever dies meanwhile, what root has written is what comes of it.
"""

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.test_limits import in_force
from tests.support.accounts import ALICE, BOB, GROUP, asked
from tests.support.killing import daemon, kill_daemon
from tests.support.running import Keys, Running, Supervise, shell, table

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"


def service(script: str = FOREVER, **keys: Any) -> dict[str, Any]:
    return shell(script, restart="always", **keys)


def capped(limit: str, **keys: Any) -> dict[str, Any]:
    return service(cgroup={"cpu.max": limit}, **keys)


def write(running: Running, settings: Keys | None = None, **containers: Keys) -> None:
    """Replace the files with these, in one step."""
    tables = {
        "supervisor": {
            "runtime_dir": running.runtime_dir,
            "logs": {"dir": running.log_dir},
            **(settings or {}),
        },
        **{f"container.{name}": keys for name, keys in containers.items()},
    }
    draft = running.configs / "draft"
    draft.write_text("\n".join(table(head, keys) for head, keys in tables.items()))
    draft.rename(running.configs / "all.toml")


def pids(running: Running) -> dict[str, int]:
    return {one["name"]: one["pid"] for one in running.status()}


def reload(running: Running) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(running.done("reload", "--json"))
    return answer


def plan(running: Running) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(running.done("plan", "--json"))
    return answer


NOTHING: dict[str, Any] = {"added": [], "removed": [], "restarted": [], "changed": [], "settings": []}


# ── what changes, and what does not ────────────────────────────────────────────────────


@pytest.mark.vm
def test_a_new_limit_is_in_force_under_the_same_process(supervise: Supervise) -> None:
    running = supervise({"one": capped("10%"), "free": service()})
    before = pids(running)
    write(running, one=capped("20%"), free=capped("30%"))
    keys = [{"name": "one", "keys": ["cgroup.cpu.max"]}, {"name": "free", "keys": ["cgroup.cpu.max"]}]
    assert plan(running) == NOTHING | {"changed": keys}
    assert reload(running) == NOTHING | {"changed": keys, "failed": {}}
    assert pids(running) == before
    assert in_force(running, "one") == "20000 100000"
    assert in_force(running, "free") == "30000 100000"
    assert running.of("one")["cpu"]["quota_usec"] == 20_000
    assert running.event("container.limits", "one")["cgroup"]["cpu.max"] == "20000 100000"


def test_a_limit_that_is_taken_out_of_the_file_is_taken_back(supervise: Supervise) -> None:
    running = supervise({"one": capped("10%")})
    before = pids(running)
    write(running, one=service())
    reload(running)
    assert pids(running) == before
    assert in_force(running, "one").split()[0] == "max"


def test_containers_come_go_and_are_restarted_and_the_others_are_left_alone(supervise: Supervise) -> None:
    running = supervise({"stays": service(), "goes": service(), "other": service()})
    before = pids(running)
    write(running, stays=service(), other=service(env={"A": "1"}), new=service())
    wanted = NOTHING | {
        "added": ["new"],
        "removed": ["goes"],
        "restarted": [{"name": "other", "keys": ["env.A"]}],
    }
    assert plan(running) == wanted
    assert pids(running) == before
    assert reload(running) == wanted | {"failed": {}}
    after = pids(running)
    assert list(after) == ["stays", "other", "new"]
    assert after["stays"] == before["stays"]
    assert (running.of("other")["run"], running.of("other")["state"]) == (2, "running")
    assert running.of("other")["exit"]["reason"] == "configuration"
    assert running.of("new")["state"] == "running"
    assert not (running.runtime_dir / "containers" / "goes").exists()
    assert [folder for folder in running.cgroups() if folder.name == "goes"] == []
    record = running.event("supervisor.reloaded")
    assert {key: record[key] for key in wanted} == wanted
    assert running.event("container.reconfigured", "other")["keys"] == ["env.A"]
    assert running.call("inspect", "goes").returncode == 3
    assert plan(running) == NOTHING


def test_what_comes_back_goes_on_with_its_run_numbers(supervise: Supervise) -> None:
    running = supervise({"one": service(), "other": service()})
    write(running, other=service())
    reload(running)
    write(running, one=service(), other=service())
    assert reload(running)["added"] == ["one"]
    assert (running.of("one")["run"], running.of("one")["state"]) == (2, "running")
    assert [one["name"] for one in running.status()] == ["one", "other"]


def test_policies_and_monitoring_change_without_a_restart(supervise: Supervise) -> None:
    spin = "while :; do :; done"
    running = supervise({"one": service(spin)}, settings={"monitor": {"interval": "1h"}})
    before = pids(running)
    stop = {"signal": "SIGKILL", "timeout": "1s"}
    write(
        running,
        {"monitor": {"interval": "20ms"}},
        one=shell(spin, restart="never", stop=stop, output={"format": "json"}),
    )
    answer = reload(running)
    assert answer["changed"][0]["keys"] == ["restart.policy", "stop.signal", "stop.timeout", "output.format"]
    assert answer["settings"] == ["monitor.interval"]
    assert pids(running) == before
    running.event("cgroup.stat", "one")
    running.done("stop", "one")
    assert running.of("one")["exit"]["signal"] == signal.SIGKILL


def test_a_container_that_somebody_stopped_stays_stopped_and_starts_as_it_is_declared_then(
    supervise: Supervise,
) -> None:
    running = supervise({"one": service("echo first; exec sleep 100000")})
    running.line("one", "first")
    running.done("stop", "one")
    write(running, one=service("echo second; exec sleep 100000"))
    assert reload(running)["changed"] == [{"name": "one", "keys": ["command"]}]
    assert running.of("one")["state"] == "stopped"
    running.done("start", "one")
    running.line("one", "second")


def test_replicas_come_and_go_and_the_others_keep_running(supervise: Supervise) -> None:
    running = supervise({"web": service(replicas=2)})
    two = pids(running)
    write(running, web=service(replicas=4))
    assert reload(running)["added"] == ["web.3", "web.4"]
    four = pids(running)
    assert list(four) == ["web.1", "web.2", "web.3", "web.4"]
    assert {name: four[name] for name in two} == two
    write(running, web=service(replicas=3))
    assert reload(running)["removed"] == ["web.4"]
    assert pids(running) == {name: pid for name, pid in four.items() if name != "web.4"}
    write(running, web=service())
    answer = reload(running)  # one replica is called by the service's name
    assert (answer["added"], answer["removed"]) == (["web"], ["web.1", "web.2", "web.3"])
    assert list(pids(running)) == ["web"]


def test_what_cannot_be_started_is_said_and_the_rest_is_done(supervise: Supervise) -> None:
    running = supervise({"one": service()})
    write(running, one=service(), bad=shell("x") | {"command": ["/no/such/program"]}, good=service())
    done = running.call("reload")
    assert done.returncode == 1
    assert "/no/such/program" in done.stderr
    assert running.of("good")["state"] == "running"
    assert running.of("bad")["state"] == "failed"


# ── files that say nothing sound ───────────────────────────────────────────────────────


def test_a_broken_file_changes_nothing_and_every_problem_is_printed_as_check_prints_it(
    supervise: Supervise,
) -> None:
    running = supervise({"one": capped("10%"), "two": service()})
    before = pids(running)
    write(running, one=capped("lots"), three=service(comand=["/bin/true"]))
    check = running.call("check", f"{running.configs}/")
    for command in ("plan", "reload"):
        done = running.call(command)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", check.stderr)
    assert len(check.stderr.splitlines()) == 2
    assert pids(running) == before
    assert in_force(running, "one") == "10000 100000"
    assert "lots" in running.event("supervisor.reload_refused")["error"]
    os.kill(running.info()["pid"], signal.SIGHUP)
    running.until(lambda: len(running.events("supervisor.reload_refused")) == 2, "refused again")
    assert pids(running) == before


def test_files_that_are_gone_change_nothing(supervise: Supervise) -> None:
    running = supervise({"one": service()})
    before = pids(running)
    (running.configs / "all.toml").unlink()
    assert running.call("reload").returncode == 2
    running.configs.rmdir()
    done = running.call("reload")
    assert done.returncode == 2
    assert str(running.configs) in done.stderr
    assert pids(running) == before


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"user": "daemon"}, "supervisor.user"),
        ({"id_pool": "600000:65536000"}, "supervisor.id_pool"),
        ({"logs": {"dir": "/nowhere/else"}}, "supervisor.logs.dir"),
    ],
)
def test_a_setting_that_only_a_new_start_takes_up_is_an_error_that_says_so(
    supervise: Supervise, settings: dict[str, Any], key: str
) -> None:
    running = supervise({"one": service()})
    write(running, settings, one=service(env={"A": "1"}))
    done = running.call("reload")
    assert done.returncode == 2
    assert key in done.stderr
    assert "start it again" in done.stderr
    assert running.of("one")["run"] == 1


def test_a_right_that_was_given_up_at_the_start_is_not_declared_again(supervise: Supervise) -> None:
    running = supervise({"one": service()})
    write(running, one=service(), two=service(userns="host", capabilities=["SYS_TIME"]))
    done = running.call("reload")
    assert done.returncode == 1
    assert "container.two" in done.stderr
    assert "CAP_SYS_TIME" in done.stderr
    assert [one["name"] for one in running.status()] == ["one"]


@contextmanager
def swapping(file: Path) -> Iterator[None]:
    """Meanwhile `file` is by turns itself and a link to what nobody can read."""
    good, link = file.with_name("good"), file.with_name("draft")
    good.write_bytes(file.read_bytes())
    over = threading.Event()

    def swap() -> None:
        while not over.is_set():
            link.symlink_to("/proc/self/mem")
            link.replace(file)
            link.write_bytes(good.read_bytes())
            link.replace(file)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_file_exchanged_while_it_is_read_is_read_whole_or_not_at_all(supervise: Supervise) -> None:
    running = supervise({"one": service()})
    before = pids(running)
    write(running, one=service(), two=service())
    with swapping(running.configs / "all.toml"):
        for _ in range(6):
            done = running.call("reload")
            assert done.returncode in {0, 2}, done
            assert done.returncode == 0 or "cannot be read" in done.stderr, done
    assert pids(running)["one"] == before["one"]
    running.done("reload")
    assert list(pids(running)) == ["one", "two"]


# ── asked in other ways, and by others ─────────────────────────────────────────────────


def test_a_hangup_signal_reloads(supervise: Supervise) -> None:
    running = supervise({"one": service()})
    write(running, one=service(), two=service())
    os.kill(running.info()["pid"], signal.SIGHUP)
    assert running.event("supervisor.reloaded")["added"] == ["two"]
    assert running.state("two", "running")


def test_two_reloads_at_once_are_one_after_the_other(supervise: Supervise) -> None:
    running = supervise({"one": service()})
    write(running, one=service(), two=service())
    answers: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: answers.append(reload(running))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one["added"] for one in answers) == [[], ["two"]]
    assert running.of("two")["run"] == 1


def test_a_supervisor_whose_unprivileged_half_was_killed_reloads(supervise: Supervise) -> None:
    running = supervise({"one": capped("10%"), "two": service()})
    before = pids(running)
    kill_daemon(running)
    write(running, one=capped("20%"), three=service())
    answer = reload(running)
    assert (answer["added"], answer["removed"]) == (["three"], ["two"])
    assert pids(running)["one"] == before["one"]
    assert in_force(running, "one") == "20000 100000"
    kill_daemon(running)
    assert list(pids(running)) == ["one", "three"]
    assert plan(running) == NOTHING


def test_a_reload_whose_asker_dies_in_the_middle_is_finished_by_the_next(supervise: Supervise) -> None:
    deaf = "trap '' TERM; echo deaf; while :; do sleep 1000; done"
    running = supervise({"goes": service(deaf, stop={"timeout": "1h"}), "other": service()})
    running.line("goes", "deaf")
    write(running, other=service(env={"A": "1"}))
    os.kill(running.info()["pid"], signal.SIGHUP)
    running.event("container.stopping", "goes")  # which it never answers
    old = daemon(running)
    os.kill(old, signal.SIGKILL)
    running.until(lambda: daemon(running) != old, "a successor")
    running.until_answering()
    running.state("other", "running", run=2)
    assert [one["name"] for one in running.status()] == ["other"]
    running.until(lambda: not [one for one in running.cgroups() if one.name == "goes"], "it is gone")


def test_a_member_of_the_sockets_group_may_have_roots_files_read_and_is_on_record(
    supervise: Supervise,
) -> None:
    group = {"group": GROUP}
    running = supervise.prepare({"one": service()}, settings=group)
    running.short.chmod(0o755)
    running.start()
    write(running, group, one=service(), two=service())
    assert asked(running, BOB, (), "reload").code == 4
    done = asked(running, ALICE, (GROUP,), "reload")
    assert (done.code, done.said) == (0, "add      two\n")
    assert running.event("operator.request")["operator"] == {"uid": ALICE, "pid": done.pid}


def test_a_stop_in_the_middle_of_a_reload_leaves_nothing(supervise: Supervise) -> None:
    running = supervise({"one": service()})
    write(running, one=service(), two=service())
    os.kill(running.info()["pid"], signal.SIGHUP)
    os.kill(running.info()["pid"], signal.SIGTERM)
    running.ended()


def test_a_container_at_rest_is_removed_without_a_trace_and_without_a_complaint(supervise: Supervise) -> None:
    running = supervise(
        {"done": shell("exit 0"), "fails": shell("exit 1", restart="always"), "one": service()}
    )
    running.state("done", "exited")
    running.until(lambda: running.of("fails")["run"] > 1, "it fails again")
    write(running, one=service())
    assert reload(running)["removed"] == ["done", "fails"]
    assert [folder.name for folder in (running.runtime_dir / "containers").iterdir()] == ["one"]
    # A launch may have been on its way when the files were read, and its end asked for when it was refused; and
    # one that had ended by itself may have been told to.
    denied = {one["why"] for one in running.events("launcher.denied")}
    assert denied <= {
        "launch: no such container is declared", "kill: the container is idle",
        "signal: the container is idle", "signal: the container is ending",
    }  # fmt: skip
