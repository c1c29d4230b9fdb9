"""Holds of hooks with real programs: they run without rights, know why, and cannot harm supervision."""

import json
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, Supervise, shell

pytestmark = pytest.mark.kernel

QUICK = {"initial": "20ms", "factor": 1.0, "jitter": 0.0}
FOREVER = "exec sleep 100000"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where an account without rights can write: pytest's folders are root's alone."""
    made = Path(tempfile.mkdtemp(prefix="modoki-hooks-"))
    made.chmod(0o777 | stat.S_ISVTX)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def script(text: str) -> list[str]:
    return ["/bin/sh", "-c", text]


def written(running: Running, file: Path) -> str:
    return running.until(lambda: file.read_text() if file.exists() else "", f"{file.name} is written")


def told(running: Running, file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(written(running, file))
    return found


def test_a_hook_gets_the_history_and_has_no_rights(supervise: Supervise, folder: Path) -> None:
    hook = f"cat >{folder}/new; id -u >{folder}/uid; grep -h '^CapEff\\|^NoNewPrivs' /proc/self/status >{folder}/rights;"
    hook += f" ls /proc/self/fd | wc -l >{folder}/fds; env >{folder}/env; mv {folder}/new {folder}/told"
    web = shell("echo why it went wrong; exit 3", on={"failed": script(hook)})
    running = supervise(
        {
            "web": {
                **web,
                "restart": {"policy": "always", "backoff": QUICK, "limit": {"failures": 1, "within": "1h"}},
            }
        }
    )
    record = told(running, folder / "told")
    assert (record["hook"], record["name"], record["state"]) == ("failed", "web", "failed")
    assert record["record"]["event"] == "container.failed"
    assert record["runs"][0]["ended"] == "exit code 3"
    assert record["runs"][0]["output"][-1]["line"] == "why it went wrong"
    assert int((folder / "uid").read_text()) != 0
    assert "CapEff:\t0000000000000000" in (folder / "rights").read_text()
    assert "NoNewPrivs:\t1" in (folder / "rights").read_text()
    assert int((folder / "fds").read_text()) == 4
    names = {line.partition("=")[0] for line in (folder / "env").read_text().splitlines()}
    assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {
        "PATH", "LANG", "SUPERVISOR_NAME", "SUPERVISOR_HOOK", "SUPERVISOR_RUN",
    }  # fmt: skip
    running.event("hook.ran", "web", hook="failed")


def test_the_same_event_runs_its_hook_once_in_its_window(supervise: Supervise, folder: Path) -> None:
    on = {"backoff": script(f"echo x >>{folder}/times"), "window": "1h"}
    running = supervise({"web": shell("exit 1", restart={"policy": "always", "backoff": QUICK}, on=on)})
    running.until(lambda: len(running.events("container.backoff", "web")) >= 5, "five failures")
    running.event("hook.ran", "web")
    assert len(running.events("hook.ran", "web")) == 1
    assert (folder / "times").read_text() == "x\n"


def test_hooks_of_one_container_run_one_at_a_time(supervise: Supervise, folder: Path) -> None:
    alone = f"mkdir {folder}/lock || echo twice >>{folder}/bad; sleep 0.3; rmdir {folder}/lock; echo x >>{folder}/times"
    on = {"backoff": script(alone), "failed": script(alone), "window": "0s"}
    restart = {"policy": "always", "backoff": QUICK, "limit": {"failures": 6, "within": "1h"}}
    running = supervise({"web": shell("exit 1", restart=restart, on=on)})
    running.event("hook.ran", "web", hook="failed")
    assert not (folder / "bad").exists()
    assert 2 <= len(running.events("hook.ran", "web")) <= 7


def test_a_hook_that_hangs_is_killed_with_all_it_started(supervise: Supervise, folder: Path) -> None:
    hook = script(f"sleep 100000 & echo $! $$ >{folder}/new; mv {folder}/new {folder}/pids; echo stuck; wait")
    running = supervise({"web": shell("exit 1", restart={"policy": "always", "backoff": {**QUICK, "initial": "5s"}},
                                      on={"backoff": hook, "timeout": "3s"})})  # fmt: skip
    failed = running.event("hook.failed", "web")
    assert "longer than 3 s" in failed["error"]
    assert failed["said"] == "stuck\n"
    pids = (folder / "pids").read_text().split()
    running.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), "gone")
    happenings = json.loads(running.done("why", "web", "--json"))["runs"][-1]["happenings"]
    assert "hook.failed" in {each["event"] for each in happenings}


@pytest.mark.parametrize(
    ("command", "field", "value"),
    [
        (["/nowhere/program"], "error", "[Errno 2] No such file or directory: '/nowhere/program'"),
        (["/bin/sh", "-c", "echo no >&2; exit 7"], "code", 7),
        (["/bin/sh", "-c", "kill -9 $$"], "signal", 9),
    ],
)
def test_a_hook_that_fails_is_on_record_and_no_more(
    supervise: Supervise, command: list[str], field: str, value: object
) -> None:
    running = supervise(
        {"web": shell("exit 1", restart={"policy": "always", "backoff": QUICK}, on={"backoff": command})}
    )
    assert running.event("hook.failed", "web")[field] == value
    running.until(lambda: len(running.events("container.started", "web")) >= 4, "it goes on")


def test_recovery_is_told_after_trouble(supervise: Supervise, folder: Path) -> None:
    restart = {"policy": "always", "backoff": QUICK, "reset_after": "200ms"}
    web = shell(f"if [ -e /mnt/second ]; then {FOREVER}; fi; touch /mnt/second; exit 1")
    mounts = [{"type": "bind", "source": folder, "target": "/mnt", "options": ["rw"]}]
    on = {"recovered": script(f"cat >{folder}/new; mv {folder}/new {folder}/told")}
    running = supervise({"web": {**web, "restart": restart, "mounts": mounts, "on": on}})
    record = told(running, folder / "told")
    assert (record["hook"], record["state"]) == ("recovered", "running")


def test_a_hook_ends_with_the_supervisor(supervise: Supervise, folder: Path) -> None:
    hook = script(f"echo $$ >{folder}/new; mv {folder}/new {folder}/pid; exec sleep 100000")
    restart = {"policy": "always", "backoff": {**QUICK, "initial": "30s"}}
    running = supervise({"web": shell("exit 1", restart=restart, on={"backoff": hook, "timeout": "1h"})})
    pid = written(running, folder / "pid").strip()
    running.stop()
    assert not Path(f"/proc/{pid}").exists()


def test_illness_and_recovery_seen_by_a_health_probe_run_their_hooks(
    supervise: Supervise, folder: Path
) -> None:
    ill = {
        "type": "exec",
        "command": ["/bin/sh", "-c", "test ! -e /mnt/ill"],
        "interval": "100ms",
        "timeout": "60s",
    }
    (folder / "ill").touch()
    mounts = [{"type": "bind", "source": folder, "target": "/mnt", "options": ["rw"]}]
    hooks = {
        name: script(f"cat >{folder}/new; mv {folder}/new {folder}/{name}")
        for name in ("unhealthy", "recovered")
    }
    web = shell(
        FOREVER, health=ill | {"action": "none"}, restart={"policy": "always", "reset_after": "200ms"}
    )
    running = supervise({"web": {**web, "mounts": mounts, "on": hooks}})
    record = told(running, folder / "unhealthy")
    assert (record["hook"], record["healthy"]) == ("unhealthy", False)
    (folder / "ill").unlink()
    record = told(running, folder / "recovered")
    assert (record["hook"], record["healthy"]) == ("recovered", True)
