"""Holds of a command that an operator runs in a container: it is confined exactly as the service, nothing of the
operator's reaches it but bytes, its end is told exactly, and it never outlives its container or who asked for it.
"""

import contextlib
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.kernel import libc, process
from tests.support.killing import daemon
from tests.support.running import Running, Supervise, shell
from tests.support.visiting import execute, inside, said, visiting

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
PR_SET_CHILD_SUBREAPER = 36
#: Tells of oneself all that confines; without programs of its own, which would count as processes.
TELL = r"""
grep -E '^(Umask|Uid|Gid|Groups|Sig(Blk|Ign|Cgt)|Shd|Cap|NoNewPrivs|Seccomp|Cpus_allowed_list)' /proc/self/status
cat /proc/self/limits /proc/self/cgroup
for kind in mnt pid uts ipc cgroup net user time; do readlink /proc/self/ns/$kind; done
cat /proc/self/oom_score_adj /proc/self/timens_offsets /proc/self/uid_map
env | grep -v '^_=' | sort; pwd; ls -di /
echo told
"""
KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "of a user": {
        "user": "4242:4243",
        "groups": ["4244"],
        "workdir": "/tmp",
        "env": {"LANG": "C", "TERM": "vt52"},
    },
    "of the host": {"userns": "host", "network": "host", "init": False},
    "that may": {
        "userns": "host",
        "no_new_privileges": False,
        "capabilities": ["CHOWN", "NET_RAW"],
        "user": "4242",
        "seccomp": "unconfined",
    },
    "with rights of a root": {"no_new_privileges": False, "rlimits": {"nofile": 77, "core": 0}},
    "of few namespaces": {"userns": "host", "namespaces": ["mount"], "rootfs_mode": "read-only"},
    "of another time": {"time_offsets": {"boottime": "1h"}},
}


@pytest.fixture
def one(supervise: Supervise) -> Running:
    return supervise({"one": shell(FOREVER, stop={"signal": "SIGKILL"})})


# ── as the service ─────────────────────────────────────────────────────────────────────


def ignored(line: str) -> str:
    """Of the signals that are ignored, those that a program can name: the two below SIGRTMIN are the C
    library's own, and whatever posix_spawn(3) starts (make(1) too, and all below it) has them ignored.
    """
    name, _, mask = line.partition(":\t")
    if name != "SigIgn":
        return line
    return f"{name}:\t{int(mask, 16) & ~(1 << 31 | 1 << 32):016x}"


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_confined_as_the_service_in_every_way(supervise: Supervise, kind: str) -> None:
    keys = KINDS[kind] | {"stop": {"signal": "SIGKILL"}}
    running = supervise({"one": shell(f"{TELL}\n{FOREVER}", **keys)})
    running.line("one", "told")
    own = [ignored(line) for line in running.lines("one")]
    found = [ignored(line) for line in said(running, "one", "/bin/sh", "-c", TELL)]
    assert found == own
    assert len([line for line in own if line.startswith("Cap")]) == 5


def test_it_lives_in_the_containers_cgroups_of_every_hierarchy(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, cgroup={"cpu.max": "50%", "pids.max": 20})})
    with visiting(running, "one", "sleep", "54321"):
        (pid,) = running.until(lambda: inside(running, "one", "sleep 54321"), "the command")
        service = running.of("one")["pid"]
        there = {
            Path(f"/proc/{each}/cgroup").read_text() for each in (*running.processes("one"), pid, service)
        }
        assert len(there) == 1


def test_it_is_the_leader_of_a_session_without_a_terminal(one: Running) -> None:
    (stat,) = said(one, "one", "cat", "/proc/self/stat")
    pid, _, _, _, _, session, terminal = stat.split()[:7]
    assert (session, terminal) == (pid, "0")


def test_a_full_container_has_no_room_for_it_and_says_so(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, cgroup={"pids.max": 2})})  # our init and the service
    done = execute(running, "one", "true")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode().startswith("supervisor: one: ")
    assert "pids.max" in done.stderr.decode()


@pytest.fixture
def orphanage() -> Iterator[list[int]]:
    """Processes that outlive their supervisor become ours, to be reaped at once: init may take its time."""
    process.adopt_orphans()
    adopted: list[int] = []
    yield adopted
    libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def test_a_run_that_another_supervisor_launched_can_be_entered(
    supervise: Supervise, orphanage: list[int]
) -> None:
    keys = {"stop": {"signal": "SIGKILL"}}
    running = supervise(
        {"one": shell(FOREVER, **keys), "plain": shell(FOREVER, userns="host", init=False, **keys)}
    )
    before = {name: said(running, name, "/bin/sh", "-c", TELL) for name in ("one", "plain")}
    assert running.process
    left = {name: running.processes(name) for name in before}
    unprivileged = daemon(running)
    for pid in (running.process.pid, unprivileged):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    running.start()
    assert {name: running.of(name)["run"] for name in before} == {"one": 1, "plain": 1}
    assert {name: said(running, name, "/bin/sh", "-c", TELL) for name in before} == before
    running.done("stop", *before)
    for pid in {unprivileged}.union(*left.values()):
        with contextlib.suppress(ChildProcessError):  # a child of one of the others
            os.waitpid(pid, 0)


# ── what goes in and comes out ─────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143), ("exit 125", 125)],
)
def test_its_exit_status_is_passed_on(one: Running, script: str, code: int) -> None:
    done = execute(one, "one", "/bin/sh", "-c", script)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("no-such", 127), ("/etc/passwd", 126)])
def test_what_cannot_be_executed_is_told_as_a_shell_does(one: Running, program: str, code: int) -> None:
    done = execute(one, "one", program)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode().startswith(f"supervisor: one: exec: {program}: ")
    assert done.stderr.count(b"\n") == 1


def test_ten_megabytes_pass_through_unaltered(one: Running) -> None:
    given = hashlib.shake_256(b"seed").digest(10_000_000)
    done = execute(one, "one", "cat", given=given)
    assert (done.returncode, done.stderr) == (0, b"")
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(given).digest()


def test_stdout_and_stderr_stay_apart_and_can_be_opened_again(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, user="4242")})
    script = "echo out >/dev/stdout; echo err >/dev/stderr; cat /dev/stdin"
    done = execute(running, "one", "/bin/sh", "-c", script, given=b"in")
    assert (done.stdout, done.stderr) == (b"out\nin", b"err\n")


def test_when_nobody_reads_any_more_it_is_told_by_sigpipe(one: Running) -> None:
    with visiting(one, "one", "sh", "-c", "yes; echo $? >&2") as visitor:
        assert visitor.stdout
        assert visitor.stderr
        assert visitor.stdout.read(2) == b"y\n"
        visitor.stdout.close()
        assert visitor.stderr.read() == b"141\n"
        assert visitor.wait() == 0


def test_what_it_leaves_behind_keeps_nobody_waiting(one: Running) -> None:
    done = execute(one, "one", "sh", "-c", "yes behind & echo before")
    assert done.returncode == 0
    assert b"before\n" in done.stdout


def test_what_it_does_not_read_keeps_nobody_waiting(one: Running) -> None:
    done = execute(one, "one", "true", given=bytes(1 << 20))
    assert (done.returncode, done.stderr) == (0, b"")


def test_nothing_of_the_operators_reaches_it_but_bytes(one: Running, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    here, file = os.open("/", os.O_RDONLY), os.open(secret, os.O_RDWR)
    script = "cat; readlink /proc/$$/cwd; env; ls -l /proc/$$/fd; cat /proc/keys; id -G"
    try:
        with secret.open("rb") as stdin:
            done = subprocess.run(
                [*one.program, "exec", "one", "--", "/bin/sh", "-c", script],
                cwd=tmp_path, env=one.environment | {"SECRET": "of the operator"}, stdin=stdin,
                capture_output=True, check=False, pass_fds=(here, file), extra_groups=[0, 51399],
            )  # fmt: skip
    finally:
        os.close(here)
        os.close(file)
    found = done.stdout.decode()
    assert found.startswith("from a file\n/\n")
    assert "SECRET" not in found
    assert "51399" not in found
    ends = [line.rpartition(" -> ")[2] for line in found.splitlines() if " -> " in line]
    assert len(ends) == 3
    assert all(end.startswith("pipe:") for end in ends)


def test_a_folder_as_stdin_is_no_way_out(one: Running) -> None:
    with open("/dev/null", "rb") as null:
        folder = os.open("/", os.O_RDONLY)
        os.dup2(folder, null.fileno())
        os.close(folder)
        done = subprocess.run(
            [*one.program, "exec", "one", "--", "sleep", "100"],
            env=one.environment, stdin=null, capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1  # Python itself does not begin with one
    assert one.events("operator.exec") == []


# ── ends ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_to_the_operators_program_are_the_commands(one: Running, number: signal.Signals) -> None:
    script = f"trap 'echo {number.name}; exit 3' {number.name[3:]}; echo ready; while :; do sleep 0.05; done"
    with visiting(one, "one", "sh", "-c", script) as visitor:
        assert visitor.stdout
        assert visitor.stdout.readline() == b"ready\n"
        visitor.send_signal(number)
        assert visitor.stdout.read() == f"{number.name}\n".encode()
        assert visitor.wait() == 3


def test_it_ends_when_the_operators_program_is_killed(one: Running) -> None:
    before = one.processes("one")
    with visiting(one, "one", "sh", "-c", "sleep 54321; :") as visitor:
        one.until(lambda: inside(one, "one", "sleep 54321"), "the command")
        visitor.kill()
        one.until(lambda: one.processes("one") == before, "its end")


def test_it_ends_with_its_container(one: Running) -> None:
    with visiting(one, "one", "sleep", "54321") as visitor:
        one.until(lambda: inside(one, "one", "sleep 54321"), "the command")
        one.done("stop", "one")
        assert visitor.wait() == 137
    (ended,) = one.events("container.exited", "one")
    assert ended["reason"] == "operator"


def test_it_ends_with_the_supervisor(one: Running) -> None:
    with visiting(
        one, "one", "sh", "-c", "trap '' HUP TERM INT; echo ready; while :; do sleep 1; done"
    ) as visitor:
        assert visitor.stdout
        assert visitor.stdout.readline() == b"ready\n"
        one.stop()
        assert visitor.wait() == 137


def test_a_service_that_ends_takes_it_along_also_in_the_machines_pid_namespace(supervise: Supervise) -> None:
    keys = {"userns": "host", "namespaces": ["mount"], "init": False, "stop": {"signal": "SIGKILL"}}
    running = supervise({"one": shell(FOREVER, **keys)})
    with visiting(running, "one", "sleep", "54321") as visitor:
        running.until(lambda: inside(running, "one", "sleep 54321"), "the command")
        running.done("stop", "one")
        assert visitor.wait() == 137
