"""Holds of a running supervisor: it knows exactly how each run ended, starts again what its file says it should,
ends everything that it started, and loses nothing when its unprivileged half is killed.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.killing import alive, daemon, kill_daemon
from tests.support.running import PATIENCE, PROGRAM, Running, Supervise, job, shell, table, until

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
QUICK = {"initial": "20ms", "factor": 2.0, "max": "30s", "jitter": 0.0}


# ── ends ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("script", "code", "number"),
    [("exit 0", 0, None), ("exit 3", 3, None), ("exit 255", 255, None), ("kill -9 $$", None, 9), ("kill -TERM $$", None, 15)],
)  # fmt: skip
def test_the_end_of_a_run_is_told_exactly(
    supervise: Supervise, script: str, code: int | None, number: int | None
) -> None:
    running = supervise({"one": shell(script)})
    ended = running.state("one", "exited")
    assert ended["exit"] == {
        "code": code,
        "signal": number,
        "oom": False,
        "reason": "exit" if number is None else "signal",
    }
    record = running.event("container.exited", "one")
    assert (record["code"], record["signal"], record["run"]) == (code, number, 1)
    assert ended["pid"] is None


def test_the_end_of_a_run_without_our_init_is_told_as_exactly(supervise: Supervise) -> None:
    running = supervise({"code": shell("exit 3", init=False), "killed": shell(FOREVER, init=False)})
    assert running.state("code", "exited")["exit"]["code"] == 3
    os.kill(running.state("killed", "running")["pid"], signal.SIGKILL)
    assert running.state("killed", "exited")["exit"]["signal"] == 9


def test_what_a_service_leaves_behind_ends_with_its_run(supervise: Supervise) -> None:
    running = supervise({"one": shell("setsid -f sleep 100000; setsid -f sleep 100000; exit 0")})
    assert running.state("one", "exited")["exit"]["code"] == 0
    assert not [line for line in running.left_processes() if "sleep" in line]


# ── restarts ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("policy", "script", "again"),
    [
        ("never", "exit 3", False),
        ("on-failure", "exit 0", False),
        ("on-failure", "exit 3", True),
        ("on-failure", "kill -9 $$", True),
        ("always", "exit 0", True),
        ("unless-stopped", "exit 0", True),
    ],
)
def test_a_run_is_followed_by_another_when_the_policy_says_so(
    supervise: Supervise, policy: str, script: str, again: bool
) -> None:
    running = supervise({"one": shell(script, restart={"policy": policy, "backoff": QUICK})})
    if again:
        running.until(lambda: running.of("one")["run"] >= 3, "a third run")
        assert running.of("one")["restarts"] >= 2
    else:
        assert running.state("one", "exited")["run"] == 1
        assert running.events("container.backoff") == []


def test_an_exit_code_declared_a_success_is_one(supervise: Supervise) -> None:
    running = supervise({"one": shell("exit 3", restart={"policy": "on-failure", "success": [0, 3]})})
    assert running.state("one", "exited")["run"] == 1


def test_each_delay_is_recorded_waited_for_and_twice_the_one_before(supervise: Supervise) -> None:
    running = supervise({"one": shell("exit 1", restart={"policy": "on-failure", "backoff": QUICK})})
    running.until(lambda: running.of("one")["run"] >= 5, "a fifth run")
    delays = [record["delay_s"] for record in running.events("container.backoff", "one")][:4]
    assert delays == pytest.approx([0.02, 0.04, 0.08, 0.16])
    times = {
        (one["event"], one["run"]): datetime.fromisoformat(one["ts"])
        for one in running.events(container="one")
    }
    for run, delay in enumerate(delays, 1):
        waited = times["container.starting", run + 1] - times["container.exited", run]
        # No sooner: how much later is the machine's business. The records' clock may be adjusted meanwhile.
        assert waited.total_seconds() >= delay - 0.005


def test_a_service_that_fails_too_often_is_given_up(supervise: Supervise) -> None:
    restart = {"policy": "always", "backoff": QUICK, "limit": {"failures": 2, "within": "1h"}}
    running = supervise({"one": shell("exit 1", restart=restart)})
    assert running.state("one", "failed")["run"] == 3
    assert "3 failures" in running.event("container.failed", "one")["reason"]


def test_a_restart_keeps_nothing_of_the_run_before(supervise: Supervise) -> None:
    script = "ls /tmp /dev/shm; echo x >/tmp/file; echo x >/dev/shm/file; echo ready; sleep 100000 & wait"
    running = supervise({"one": shell(script)})
    running.line("one", "ready")
    before = running.processes("one")
    assert running.done("restart", "one") == ""
    running.until(lambda: running.lines("one").count("ready") == 2, "ready again")
    assert not before & running.processes("one")
    assert not [pid for pid in before if alive(pid)]
    assert (running.of("one")["run"], running.of("one")["restarts"]) == (2, 0)
    assert "file" not in running.lines("one")
    assert [(one["run"], one["seq"]) for one in running.logs("one", "stdout")][-1][0] == 2


# ── stop ───────────────────────────────────────────────────────────────────────────────

#: Deaf to SIGTERM, with a child in a session of its own whose parent has gone, and that one's child.
STUBBORN = """
    trap '' TERM
    setsid -f sh -c 'trap "" TERM; (while :; do sleep 100000; done) & echo child; while :; do sleep 100000; done'
    echo parent
    while :; do sleep 100000; done
"""


def stubborn(running: Running) -> set[int]:
    for word in ("child", "parent"):
        running.line("one", word)
    return running.until(lambda: found if len(found := running.processes("one")) >= 7 else None, "all there")


def test_what_ignores_the_stop_signal_is_killed_with_all_its_children(supervise: Supervise) -> None:
    running = supervise({"one": shell(STUBBORN, restart="always", stop={"timeout": "300ms"})})
    there = stubborn(running)
    began = time.monotonic()
    assert running.done("stop", "one") == ""
    assert time.monotonic() - began >= 0.3
    assert not [pid for pid in there if alive(pid)]
    now = running.of("one")
    assert (now["state"], now["exit"]) == (
        "stopped",
        {"code": None, "signal": 9, "oom": False, "reason": "operator"},
    )
    assert "300" in (reason := running.event("container.killing", "one")["reason"]) or "0.3 s" in reason


def test_stop_sends_the_declared_signal_and_takes_the_answer(supervise: Supervise) -> None:
    script = "trap 'echo bye; exit 7' INT; echo ready; while :; do sleep 0.05; done"
    stop = {"signal": "SIGINT", "timeout": "1h"}
    running = supervise({"one": shell(script, restart="always", stop=stop)})
    running.line("one", "ready")
    running.done("stop", "one")
    assert running.of("one")["exit"] == {"code": 7, "signal": None, "oom": False, "reason": "operator"}
    assert running.lines("one") == ["ready", "bye"]
    running.done("start", "one")
    assert running.of("one")["run"] == 2


def test_kill_sends_the_signal_that_is_asked_for(supervise: Supervise) -> None:
    script = "trap 'echo hup' HUP; echo ready; while :; do sleep 0.05; done"
    running = supervise({"one": shell(script)})
    running.line("one", "ready")
    running.done("kill", "one", "-s", "HUP")
    running.line("one", "hup")
    running.done("kill", "one", "-s", "KILL")
    assert running.state("one", "exited")["exit"]["signal"] == 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_the_supervisor_stops_everything(supervise: Supervise, number: signal.Signals) -> None:
    running = supervise(
        {"one": shell(FOREVER), "two": shell(FOREVER, restart="always"), "done": shell("exit 0")}
    )
    assert running.process
    running.state("done", "exited")  # by itself, before anybody is stopped
    running.process.send_signal(number)
    running.ended()
    reasons = {one["container"]: one["reason"] for one in running.events("container.exited")}
    assert reasons == {"one": "supervisor", "two": "supervisor", "done": "exit"}
    assert len(running.events("supervisor.stopping")) == 1


def test_a_second_interrupt_waits_for_nobody(supervise: Supervise) -> None:
    running = supervise({"one": shell(STUBBORN, stop={"timeout": "1h"})})
    there = stubborn(running)
    assert running.process
    running.process.send_signal(signal.SIGINT)
    running.event("container.stopping", "one")
    time.sleep(0.3)  # two at once are one: a terminal and timeout(1) tell a whole process group
    running.process.send_signal(signal.SIGINT)
    running.ended()
    assert not [pid for pid in there if alive(pid)]


# ── the unprivileged half ──────────────────────────────────────────────────────────────


def test_the_half_that_decides_has_given_up_root(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER)})
    text = Path(f"/proc/{daemon(running)}/status").read_text()
    found = {key: value.split() for key, _, value in (line.partition(":") for line in text.splitlines())}
    assert "0" not in found["Uid"] + found["Gid"] + found["Groups"]
    assert {found[key][0] for key in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert found["NoNewPrivs"] == ["1"]


def test_containers_outlive_it_and_are_known_again(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER), "two": shell(FOREVER), "done": shell("exit 4")})
    running.state("done", "exited")
    running.done("restart", "two")
    keys = ("name", "state", "pid", "run", "restarts", "exit", "started_at")
    before = [{key: one[key] for key in keys} for one in running.status()]
    kill_daemon(running)
    running.event("supervisor.adopted") if running.events("supervisor.adopted") else running.event(
        "container.adopted", "two"
    )
    running.until(
        lambda: [{key: one[key] for key in keys} for one in running.status()] == before, f"{before}"
    )
    running.done("restart", "one")
    assert running.of("one")["run"] == 2


def test_no_line_is_lost_or_doubled_when_it_is_killed(supervise: Supervise) -> None:
    # It writes until it is told to end, so that it is at work whenever the daemon is killed.
    script = "trap 'exit 0' TERM; i=0; while :; do i=$((i + 1)); echo $i; done"
    logs = {"segment": "1GiB"}  # one, however long it takes: closed ones would be compressed
    running = supervise({"writer": shell(script, stop={"timeout": "1h"})}, settings={"logs": logs})

    def size() -> int:
        return sum(file.stat().st_size for file in (running.log_dir / "writer").glob("*.jsonl"))

    for _ in range(4):
        seen = size()
        running.until(lambda seen=seen: size() > seen, "more output")  # type: ignore[misc]
        kill_daemon(running)
    running.done("stop", "writer")
    assert running.of("writer")["exit"]["code"] == 0
    found = running.logs("writer", "stdout")
    numbers = range(1, len(found) + 1)
    assert [one["line"] for one in found] == [str(number) for number in numbers]
    assert [one["seq"] for one in found] == list(numbers)
    assert {one["run"] for one in found} == {1}


def test_a_run_that_ends_while_it_is_dead_ends_as_exactly(supervise: Supervise) -> None:
    running = supervise(
        {
            "code": shell("trap 'echo late; exit 5' TERM; echo ready; while :; do sleep 0.01; done"),
            "killed": shell(FOREVER),
        }
    )
    running.line("code", "ready")
    code, killed = running.of("code")["pid"], running.of("killed")["pid"]
    old = daemon(running)
    os.kill(old, signal.SIGSTOP)  # deaf first, so that it hears of neither end
    os.kill(code, signal.SIGTERM)
    os.kill(killed, signal.SIGKILL)
    running.until(lambda: not alive(code) and not alive(killed), "ended")
    os.kill(old, signal.SIGKILL)
    running.until(lambda: not alive(old), "reaped")
    running.until_answering()
    assert running.state("code", "exited")["exit"] == {
        "code": 5,
        "signal": None,
        "oom": False,
        "reason": "exit",
    }
    assert running.state("killed", "exited")["exit"]["signal"] == 9
    assert running.lines("code") == ["ready", "late"]
    assert len(running.events("container.exited", "code")) == 1


def test_what_it_had_promised_to_restart_is_restarted_by_its_successor(supervise: Supervise) -> None:
    # After the second run it rests for so long that it is found there.
    backoff = {"initial": "1s", "factor": 1000.0, "max": "1h", "jitter": 0.0}
    running = supervise({"one": shell("exit 1", restart={"policy": "always", "backoff": backoff})})
    running.state("one", "backoff")
    kill_daemon(running)
    assert running.state("one", "backoff", run=2)["run"] == 2
    assert running.of("one")["restarts"] == 1


# ── more than one, none, and in the background ─────────────────────────────────────────


def test_a_second_start_on_a_live_runtime_dir_is_refused(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER)})
    before = running.of("one")["pid"]
    done = running.call("start", f"{running.configs}/")
    assert (done.returncode, done.stdout) == (1, "")
    assert str(running.runtime_dir) in done.stderr
    assert 1 <= done.stderr.count("\n") <= 2
    assert running.of("one")["pid"] == before


def test_two_instances_know_nothing_of_each_other(supervise: Supervise) -> None:
    first, second = supervise({"one": shell(FOREVER)}), supervise({"one": shell(FOREVER)})
    assert first.of("one")["pid"] != second.of("one")["pid"]
    first.stop()
    assert second.of("one")["state"] == "running"


def test_an_instance_comes_back_after_its_end_and_starts_anew(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, restart="always")})
    running.stop()
    running.start()
    assert running.of("one")["state"] == "running"
    assert running.of("one")["run"] == 2


def test_detached_it_returns_when_everything_is_started(supervise: Supervise) -> None:
    running = supervise.prepare({"one": shell(FOREVER), "two": shell("exit 0")})
    assert running.done("start", "--detach", f"{running.configs}/") == ""
    assert running.of("one")["state"] == "running"
    assert running.of("two")["run"] == 1


def test_detached_it_says_what_could_not_be_started(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    running = supervise.prepare({"good": shell(FOREVER), "bad": job("/bin/true", rootfs=tmp_path / "empty")})
    done = running.call("start", "--detach", f"{running.configs}/")
    assert done.returncode == 1
    assert "bad" in done.stderr
    assert running.of("good")["state"] == "running"


def test_detached_it_starts_also_where_nobody_hears_it(supervise: Supervise) -> None:
    running = supervise.prepare({"one": shell(FOREVER)})
    command = [*running.program, "start", "--detach", f"{running.configs}/"]
    subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command],
        env=running.environment,
        check=True,
        timeout=PATIENCE,
    )
    assert running.of("one")["state"] == "running"
    assert running.done("status", "one")


def test_detached_it_goes_on_when_whoever_waits_for_it_is_ended(supervise: Supervise) -> None:
    ready = {"type": "exec", "command": ["/bin/sleep", "3"], "timeout": "1m"}
    running = supervise.prepare({"slow": shell(FOREVER, ready=ready)})
    command = [*running.program, "start", "--detach", f"{running.configs}/"]
    with subprocess.Popen(command, env=running.environment, stderr=subprocess.PIPE) as waiting:
        running.until_answering()
        before = daemon(running)
        waiting.send_signal(signal.SIGINT)
        waiting.wait(PATIENCE)
    running.event("container.ready", "slow")
    settled = Path(f"/proc/{before}/fd/2")  # which it lets go of once it has told that all is started
    running.until(lambda: not settled.exists() or settled.readlink() == Path("/dev/null"), "a word")
    assert daemon(running) == before


def test_exit_codes_tell_apart_what_went_wrong(supervise: Supervise) -> None:
    running = supervise.prepare({"one": shell(FOREVER), "gone": shell("exit 0")})
    asleep = {
        words: running.call(*words.split()).returncode for words in ("status", "stop", "stop one", "logs -f")
    }
    assert asleep == dict.fromkeys(asleep, 3)
    (broken := running.folder / "broken.toml").write_text(
        table("container.x", {"command": ["/bin/true"], "color": 1})
    )
    assert running.call("start", str(broken)).returncode == 2
    running.start()
    running.state("gone", "exited")
    expected = {
        "status": 0,
        "status --json one": 0,
        "stop one": 0,
        "start one": 0,
        "kill gone": 1,
        "why one": 0,
        "why nobody": 3,
        "status nobody": 3,
        "restart nobody": 3,
        "kill nobody": 3,
        "logs nobody": 3,
        "frobnicate": 2,
        "kill one -s NOSUCH": 2,
        "start one --detach": 2,
    }
    found = {words: running.call(*words.split()) for words in expected}
    assert {words: done.returncode for words, done in found.items()} == expected
    for words, done in found.items():
        lines = done.stderr.splitlines()
        assert bool(lines) == bool(expected[words]), words
        assert len(lines) <= 2, words


# ── read ───────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def following(running: Running, *arguments: str) -> Iterator[Any]:
    """A command that follows; gives a function that returns its next line."""
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        env=running.environment,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        bufsize=0,
    ) as process:
        assert process.stdout
        rest = b""

        def line() -> bytes:
            nonlocal rest
            while b"\n" not in rest:
                assert process.stdout
                assert select.select([process.stdout], [], [], PATIENCE)[0], running.report()
                data = os.read(process.stdout.fileno(), 65536)
                assert data, running.report()
                rest += data
            first, _, rest = rest.partition(b"\n")
            return first

        try:
            yield line
        finally:
            process.kill()


def test_a_follower_sees_lines_as_they_come_over_restarts(supervise: Supervise) -> None:
    running = supervise({"one": shell("trap 'echo hup' HUP; echo run; while :; do sleep 0.02; done")})
    running.line("one", "run")
    with following(running, "logs", "-f", "--json", "one") as line:
        assert json.loads(line())["line"] == "run"
        running.done("kill", "one", "-s", "HUP")
        assert json.loads(line())["line"] == "hup"
        running.done("restart", "one")
        assert {key: value for key, value in json.loads(line()).items() if key in {"line", "run"}} == {
            "line": "run",
            "run": 2,
        }


def test_a_follower_of_events_sees_a_life_from_start_to_end(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER)})
    running.done("stop", "one")
    with following(running, "events", "-f", "--json") as line:
        running.done("start", "one")
        running.done("stop", "one")
        found: list[str] = []
        while found.count("container.stopped") < 2:
            found.append(json.loads(line())["event"])
    life = [
        "container.starting",
        "container.started",
        "container.stopping",
        "container.exited",
        "container.stopped",
    ]
    assert [event for event in found if event in life] == life * 2
    assert found[0] == "supervisor.started"


def test_what_was_printed_is_kept_byte_for_byte(supervise: Supervise) -> None:
    script = r"""printf 'plain\n\n\303\244\n\377\n{"a": 1}\nunended'; echo oops >&2"""
    running = supervise({"one": shell(script)})
    running.state("one", "exited")
    out = running.logs("one", "stdout")
    assert [one.get("line") for one in out] == ["plain", "", "ä", None, '{"a": 1}', "unended"]
    assert out[3]["line_b64"] == "/w=="
    assert [one["seq"] for one in out] == [1, 2, 3, 4, 5, 6]
    assert {(one["container"], one["run"], one["event"]) for one in out} == {("one", 1, "output")}
    assert running.lines("one", "stderr") == ["oops"]
    printed = [json.loads(line) for line in running.done("logs", "one", "--json", "-n", "2").splitlines()]
    assert len(printed) == 2
    table_of = running.done("status")
    assert all(len(line) <= 80 for line in table_of.splitlines())


def is_full(fifo: Path) -> bool:
    """Whether no more fits in, but for what is left of its last page (pipe(7))."""
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        held = int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)
        return held > fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) - os.sysconf("SC_PAGE_SIZE")
    finally:
        os.close(descriptor)


def test_a_container_without_a_reader_waits_and_loses_nothing(supervise: Supervise) -> None:
    """Far more than a pipe holds, written while nobody can read."""
    script = "echo ready; read -r go </tmp/go; i=0; while [ $i -lt 50000 ]; do i=$((i + 1)); echo $i; done"
    running = supervise({"one": shell(f"mkfifo /tmp/go; {script}")})
    running.line("one", "ready")
    pid, old = running.of("one")["pid"], daemon(running)
    os.kill(old, signal.SIGSTOP)
    try:
        Path(f"/proc/{pid}/root/tmp/go").write_text("go\n")
        until(lambda: is_full(running.runtime_dir / "containers/one/stdout"), "a full pipe")
    finally:
        os.kill(old, signal.SIGCONT)
    assert running.result("one") == ["ready", *map(str, range(1, 50001))]
