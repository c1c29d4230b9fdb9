"""Holds of commands in a container whose programs are hostile, and of whoever asks for them: a command meets no
door that the container has built for it, shows nothing of the host on its way in, and is given to root alone;
the helper survives every message and keeps nothing of those that it let in.
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
from tests.support.running import Running, Supervise, job, shell
from tests.support.visiting import at_terminal, execute, inside, said, visiting

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
PYTHON = "/usr/bin/python3"
NOBODYS = 51304  # an id that nobody has
KILLED: dict[str, Any] = {"stop": {"signal": "SIGKILL"}}


@pytest.fixture
def one(supervise: Supervise) -> Running:
    return supervise({"one": shell(FOREVER, **KILLED)})


# ── what waits inside ──────────────────────────────────────────────────────────────────


def test_a_dev_and_an_etc_full_of_traps_hold_nobody_up(supervise: Supervise) -> None:
    traps = """
    cd /dev && rm -f null zero ptmx tty stdin stdout stderr fd /etc/passwd /etc/group
    mkfifo null tty ptmx /etc/passwd /etc/group
    ln -s /proc/1/fd/0 stdin; ln -s /proc/1/root zero; ln -s / fd
    """
    running = supervise({"one": shell(f"{traps}\necho set; {FOREVER}", **KILLED)})
    running.line("one", "set")
    assert said(running, "one", "echo", "through") == ["through"]
    with at_terminal(running, "one", "tty") as terminal:
        assert terminal.ended() == 0
        assert terminal.seen == b"/dev/pts/0\r\n"


@pytest.mark.parametrize(
    "trap",
    [
        "mkfifo /dev/pts/ptmx",
        "ln -s ../null /dev/pts/ptmx",
        "ln -s /proc/self/fd/0 /dev/pts/ptmx",
        "echo >/dev/pts/ptmx; mount --bind /dev/zero /dev/pts/ptmx",
        "echo >/dev/pts/ptmx; mount --bind /dev/tty /dev/pts/ptmx",
        "mkdir /dev/pts/ptmx",
        ":",
    ],
)
def test_a_terminal_is_one_of_a_devpts_or_there_is_none(supervise: Supervise, trap: str) -> None:
    script = f"mount -t tmpfs none /dev/pts && {{ {trap}; }} && echo set; {FOREVER}"
    keys = {"userns": "host", "capabilities": ["SYS_ADMIN", "DAC_OVERRIDE"], **KILLED}
    running = supervise({"one": shell(script, **keys)})
    running.line("one", "set")
    with at_terminal(running, "one", "echo", "through") as terminal:
        assert terminal.ended() == 1
        assert b"supervisor: one: terminal: " in terminal.seen
        assert terminal.attributes() == terminal.before
    assert said(running, "one", "echo", "through") == ["through"]


@pytest.mark.parametrize("number", range(3, 9))
def test_a_working_directory_that_leads_into_its_own_descriptors_is_no_way_out(
    supervise: Supervise, number: int
) -> None:
    script = f"cd / && rmdir /srv && ln -s /proc/self/fd/{number} /srv && echo set; {FOREVER}"
    running = supervise({"one": shell(script, workdir="/srv", **KILLED)})
    running.line("one", "set")
    done = execute(running, "one", "pwd")
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"supervisor: one: workdir: /srv: ")


#: Looks at every process but our init and itself as closely as it may, and tells of all that is not the container's.
SPY = r"""
import ctypes, json, os, stat
libc = ctypes.CDLL(None, use_errno=True)
SEIZE, WALL, ME = 0x4206, 0x40000000, os.getpid()
root = os.stat("/")
seen, refused, foreign = set(), 0, []

def link(path):
    try:
        return os.readlink(path)
    except PermissionError:
        raise
    except OSError:
        return ""

def look(pid):
    global refused
    here = f"/proc/{pid}"
    try:
        program = link(f"{here}/exe")
    except PermissionError:
        refused += 1
        if libc.ptrace(SEIZE, pid, None, None) == 0 and "python" in link(f"{here}/exe"):
            foreign.append(f"traced {pid}")
        for name in ("mem", "fd", "environ", "maps", "root", "cwd"):
            try:
                os.close(os.open(f"{here}/{name}", os.O_RDONLY))
            except OSError:
                continue
            now = link(f"{here}/exe")
            if "python" in now:
                foreign.append(f"{name} of {now}")
        return
    if program:
        seen.add(pid)
    if "python" in program:
        foreign.append(program)
    for name in ("root", "cwd"):
        there = os.stat(f"{here}/{name}")
        if (there.st_dev, there.st_ino) != (root.st_dev, root.st_ino):
            foreign.append(f"{name} {link(f'{here}/{name}')}")
    for fd in os.listdir(f"{here}/fd"):
        target = link(f"{here}/fd/{fd}")
        if target and not target.startswith("pipe:") and not stat.S_ISREG(os.stat(f"{here}/fd/{fd}").st_mode):
            foreign.append(f"{fd} {target}")

print("looking", flush=True)
while not os.path.exists("/tmp/enough"):
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) not in (1, ME):
            try:
                look(int(name))
            except OSError:
                pass
    try:
        while os.waitpid(-1, os.WNOHANG | WALL)[0]:
            pass
    except OSError:
        pass
print(json.dumps({"seen": len(seen), "refused": refused, "foreign": foreign}), flush=True)
"""


@pytest.mark.skipif(not os.path.exists(PYTHON), reason=f"no {PYTHON} on this machine")
@pytest.mark.parametrize(
    "keys",
    [
        {"capabilities": ["SYS_PTRACE", "DAC_OVERRIDE", "DAC_READ_SEARCH"]},
        {"userns": "host"},
        {"userns": "host", "namespaces": ["mount", "pid"], "network": "host"},
    ],
)
def test_whoever_watches_it_come_in_sees_nothing_of_the_host(
    supervise: Supervise, keys: dict[str, Any]
) -> None:
    running = supervise({"one": job(PYTHON, "-c", SPY, seccomp="unconfined", **keys)})
    running.line("one", "looking")
    for _ in range(50):
        assert said(running, "one", "sleep", "0.02") == []
    said(running, "one", "touch", "/tmp/enough")
    found = json.loads(running.result("one")[-1])
    assert found["foreign"] == []
    assert found["seen"] > 0
    assert found["refused"] > 0


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
    return sorted(os.readlink(one) for one in (process / "fd").iterdir())


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
    one.until(lambda: len(descriptors(process)) == held, "its descriptors closed")
    one.until(lambda: len(children(process)) == 2, "those who waited reaped, all but daemon and container")


def test_clients_that_say_nothing_keep_nobody_out(one: Running) -> None:
    process = helper(one)
    held = len(descriptors(process))
    with contextlib.ExitStack() as silent:
        for _ in range(100):
            silent.enter_context(connected(one))
        assert visit(one, Visit("one", ("true",))) == 0
        assert one.done("restart", "one") == ""
    one.until(lambda: len(descriptors(process)) == held, "their descriptors closed")


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
    one.until(lambda: len(descriptors(process)) == held, "their descriptors closed")
    assert visit(one, Visit("one", ("true",))) == 0
