"""Holds of who asks for a command in a container: root alone gets it, and is on record; the helper survives every
message, waits for nobody, and keeps nothing of those that it let in.
"""

import contextlib
import json
import os
import random
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

import supervisor.cli.execute  # noqa: F401  # main imports it late, and another account may not be able to
from supervisor.cli.main import main
from supervisor.launcher.visit import SOCKET, Visit, Visitor
from tests.support.running import Running, Supervise, shell, until
from tests.support.visiting import execute, inside, visiting

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
NOBODYS = 51304  # an id that nobody has
KILLED: dict[str, Any] = {"stop": {"signal": "SIGKILL"}}


@pytest.fixture
def one(supervise: Supervise) -> Running:
    return supervise({"one": shell(FOREVER, **KILLED)})


# ── who asks ───────────────────────────────────────────────────────────────────────────


def test_nobody_but_root_may_run_one(supervise: Supervise) -> None:
    running = supervise.prepare({"one": shell(FOREVER, **KILLED)})
    running.short.chmod(0o755)
    running.start()
    found = os.stat(running.runtime_dir / SOCKET)
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o600)
    code, text = as_nobody(running)
    assert code == 4
    assert text.startswith("supervisor: only root")
    # Also when the socket's mode were to let them in.
    (running.runtime_dir / SOCKET).chmod(0o666)
    code, text = as_nobody(running)
    assert code == 4
    assert text.startswith("supervisor: only the user who started the supervisor")
    assert running.events("operator.exec") == []


def as_nobody(running: Running) -> tuple[int, str]:
    """`supervisor exec` of another account; not a new program, which that account may not be able to read."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
            os.setgroups([])
            os.setresgid(NOBODYS, NOBODYS, NOBODYS)
            os.setresuid(NOBODYS, NOBODYS, NOBODYS)
            sys.stderr = os.fdopen(write, "w")
            code = main(["exec", "--runtime-dir", str(running.runtime_dir), "one", "--", "true"])
            sys.stderr.flush()
            os._exit(code)
        finally:
            os._exit(70)
    os.close(write)
    with os.fdopen(read) as file:
        text = file.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), text


def test_who_ran_what_is_on_record_but_not_its_arguments(one: Running) -> None:
    with visiting(one, "one", "sleep", "54321") as visitor:
        one.until(lambda: inside(one, "one", "sleep 54321"), "the command")
        record = one.event("operator.exec", "one")
        assert record["operator"] == {"uid": 0, "pid": visitor.pid}
    assert (record["command"], record["run"]) == ("sleep", 1)
    assert "54321" not in json.dumps(one.events("operator.exec"))


def test_it_is_on_record_also_while_nobody_is_there_to_record_it(one: Running) -> None:
    helper_of = helper(one)
    (daemon,) = [pid for pid in children(helper_of) if b"supervisor.daemon" in words(pid)]
    os.kill(int(daemon), signal.SIGKILL)
    one.until(lambda: daemon not in children(helper_of), "its death, and maybe its successor's birth")
    assert visit(one, Visit("one", ("true",))) == 0
    assert one.event("operator.exec", "one")["operator"] == {"uid": 0, "pid": os.getpid()}


def words(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def test_where_there_is_nothing_to_enter_it_says_so(supervise: Supervise, tmp_path: Path) -> None:
    running = supervise({"one": shell("exit 0")})
    running.state("one", "exited")
    done = execute(running, "one", "true")
    assert (done.returncode, done.stderr) == (1, b"supervisor: one is not running\n")
    done = execute(running, "two", "true")
    assert (done.returncode, done.stderr) == (3, b'supervisor: no container is called "two"\n')
    done = execute(running, "ü" * 5000, "true")
    assert (done.returncode, done.stderr.count(b"\n")) == (3, 1)
    nobody = running.call("exec", "--runtime-dir", str(tmp_path), "one", "--", "true")
    assert nobody.returncode == 3
    assert nobody.stderr.startswith("supervisor: no supervisor is running in ")


# ── the helper ─────────────────────────────────────────────────────────────────────────


def helper(running: Running) -> Path:
    return Path(f"/proc/{running.info()['pid']}")


def children(process: Path) -> list[str]:
    return (process / f"task/{process.name}/children").read_text().split()


def descriptors(process: Path) -> list[str]:
    """By number, of a helper that has its spare network namespace; what they are, it may let go of meanwhile."""

    def held() -> list[str]:
        found = os.listdir(process / "fd")
        for one in found:
            with contextlib.suppress(OSError):
                if os.readlink(process / "fd" / one).startswith("net:"):
                    return found
        return []

    return until(held, "a network namespace is ready")


def visit(running: Running, visit: Visit) -> int:
    """The exit code, without the program in between."""
    visitor = Visitor(str(running.runtime_dir / SOCKET), visit)
    held: list[int] = []
    try:
        while True:
            report, streams = visitor.receive()
            held += streams
            if report is None or report.what != "streams":
                return report.code if report else -1
    finally:
        visitor.close()
        for one in held:
            os.close(one)


def connected(running: Running) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sock.connect(str(running.runtime_dir / SOCKET))
    return sock


def test_a_hundred_commands_leave_nothing_in_the_helper(one: Running) -> None:
    process, before = helper(one), one.processes("one")
    assert visit(one, Visit("one", ("true",))) == 0
    held = len(descriptors(process))
    for number in range(100):
        assert visit(one, Visit("one", ("sh", "-c", f"exit {number}"), number % 2 == 1)) == number
    one.until(lambda: one.processes("one") == before, "only what was there before")
    one.until(lambda: len(descriptors(process)) <= held, "its descriptors closed")
    one.until(
        lambda: len(children(process)) == 5,
        "those who waited reaped, all but daemon, holders, zygote and container",
    )


def test_clients_that_say_nothing_keep_nobody_out(one: Running) -> None:
    process = helper(one)
    held = len(descriptors(process))
    with contextlib.ExitStack() as silent:
        for _ in range(100):
            silent.enter_context(connected(one))
        assert visit(one, Visit("one", ("true",))) == 0
        assert one.done("restart", "one") == ""
    one.until(lambda: len(descriptors(process)) <= held, "their descriptors closed")


def test_thousands_of_damaged_messages_change_nothing(one: Running) -> None:
    process, before = helper(one), one.of("one")
    held = len(descriptors(process))
    dice = random.Random(5)
    whole = json.dumps(Visit("one", ("touch", "/tmp/x"))._asdict()).encode()
    here = os.open("/", os.O_RDONLY)
    try:
        for number in range(2000):
            data = bytearray(whole)
            # Every one of these makes it something else than a message.
            place = dice.randrange(len(data))
            if number % 3 == 0:
                data[place : place + 1] = b"\xff\0"
            elif number % 3 == 1:
                del data[place:]
            else:
                data[-1:] = b', "argv": "sh"}' if number % 2 else b" " * 70_000 + b"}"
            with connected(one) as sock, contextlib.suppress(BrokenPipeError):
                socket.send_fds(sock, [bytes(data)], [here])
                if number % 10:
                    sock.recv(4096)
    finally:
        os.close(here)
    assert one.events("operator.exec") == []
    assert (helper(one), one.of("one")["pid"]) == (process, before["pid"])
    one.until(lambda: len(descriptors(process)) <= held, "their descriptors closed")
    assert visit(one, Visit("one", ("true",))) == 0
