"""Holds of commands in a container whose programs are hostile: a command meets no door that the container has built
for it, and shows nothing of the host on its way in.
"""

import itertools
import json
import os
from typing import Any

import pytest

from tests.support.running import Supervise, job, shell
from tests.support.visiting import at_terminal, execute, said

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
PYTHON = "/usr/bin/python3"
KILLED: dict[str, Any] = {"stop": {"signal": "SIGKILL"}}


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
met = False
while not os.path.exists("/tmp/enough"):
    if seen and refused and not met:
        met = True
        print("met", flush=True)
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
    for number in itertools.count(1):
        assert said(running, "one", "sleep", "0.02") == []
        if number >= 50 and "met" in running.lines("one"):
            break
        assert number < 1000, running.report()
    execute(
        running, "one", "touch", "/tmp/enough"
    )  # which may end with its container, that waits for the file
    found = json.loads(running.result("one")[-1])
    assert found["foreign"] == []
    assert found["seen"] > 0
    assert found["refused"] > 0
