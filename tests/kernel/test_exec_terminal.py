"""Holds of a command at a terminal: the terminal is one of the container's own, keys and sizes reach it, and the
operator's is as it was afterwards, however the command or the program ends.
"""

import os
import shlex
import signal

import pytest

from tests.support.running import Running, Supervise, shell
from tests.support.visiting import Terminal, at_terminal, inside

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"


@pytest.fixture
def one(supervise: Supervise) -> Running:
    return supervise({"one": shell(FOREVER, stop={"signal": "SIGKILL"})})


def restored(terminal: Terminal) -> bool:
    return terminal.attributes() == terminal.before


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"user": "4242"},
        {"userns": "host", "user": "4242", "init": False},
        {"no_new_privileges": False, "user": "4242"},
        {"userns": "host", "namespaces": ["mount"], "seccomp": "unconfined"},
    ],
)
def test_it_is_the_containers_own_and_has_the_size_of_the_operators(
    supervise: Supervise, keys: dict[str, object]
) -> None:
    running = supervise({"one": shell(FOREVER, stop={"signal": "SIGKILL"}, **keys)})
    script = "tty; stty size; echo $TERM; [ -O $(tty) ] && echo own; echo >/dev/tty there; ls -l /proc/$$/fd"
    with at_terminal(running, "one", "/bin/sh", "-c", script, rows=33, cols=77) as terminal:
        assert terminal.ended() == 0
        lines = terminal.seen.decode().splitlines()
        assert lines[:5] == ["/dev/pts/0", "33 77", "vt100", "own", "there"]
        ends = [line.rpartition(" -> ")[2] for line in lines if " -> " in line]
        # The shell that runs the script keeps the terminal a second time, to give it back.
        assert set(ends) <= {"/dev/pts/0", "/dev/tty", "pipe"}
        assert restored(terminal)


def test_all_that_was_shown_is_there_at_its_end(one: Running) -> None:
    with at_terminal(one, "one", "seq", "1", "20000") as terminal:
        assert terminal.ended() == 0
        assert terminal.seen.split() == [b"%d" % number for number in range(1, 20001)]


def test_keys_reach_it_raw_and_interrupt_it(one: Running) -> None:
    with at_terminal(one, "one", "sh", "-c", "read word; echo got $word; exec sleep 54321") as terminal:
        one.until(lambda: terminal.is_raw, "raw")
        terminal.type(b"hello\r")
        terminal.until(b"got hello\r\n")
        one.until(lambda: inside(one, "one", "sleep 54321"), "the command")
        terminal.type(b"\x03")
        assert terminal.ended() == 130
        assert restored(terminal)


def test_an_interactive_shell_ends_by_its_own_exit(one: Running) -> None:
    with at_terminal(one, "one", "/bin/sh", "-i") as terminal:
        terminal.type(b"sleep 54321\r")
        one.until(lambda: inside(one, "one", "sleep 54321"), "the job")
        terminal.type(b"\x03")
        terminal.type(b"echo $((40 + 2))\r")
        terminal.until(b"42\r\n")
        terminal.type(b"exit 5\r")
        assert terminal.ended() == 5
        assert restored(terminal)


def test_a_change_of_size_reaches_it(one: Running) -> None:
    script = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.02; done"
    with at_terminal(one, "one", "sh", "-c", script) as terminal:
        terminal.until(b"ready\r\n")
        terminal.resize(11, 222)
        terminal.until(b"11 222\r\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_program_ends_both_and_restores_the_terminal(
    one: Running, number: signal.Signals
) -> None:
    with at_terminal(one, "one", "sleep", "54321") as terminal:
        one.until(lambda: terminal.is_raw and inside(one, "one", "sleep 54321"), "the command")
        terminal.process.send_signal(number)
        assert terminal.ended() == 128 + number
        assert restored(terminal)
        one.until(lambda: not inside(one, "one", "sleep 54321"), "its end")


def test_it_ends_when_the_program_is_killed(one: Running) -> None:
    before = one.processes("one")
    with at_terminal(one, "one", "sh", "-c", "sleep 54321; :") as terminal:
        one.until(lambda: inside(one, "one", "sleep 54321"), "the command")
        terminal.process.kill()
        one.until(lambda: one.processes("one") == before, "its end")


def test_the_terminal_is_restored_when_the_container_ends(one: Running) -> None:
    with at_terminal(one, "one", "sleep", "54321") as terminal:
        one.until(lambda: terminal.is_raw and inside(one, "one", "sleep 54321"), "the command")
        one.done("stop", "one")
        assert terminal.ended() == 137
        assert restored(terminal)


def test_what_cannot_be_executed_leaves_the_terminal_as_it_was(one: Running) -> None:
    with at_terminal(one, "one", "no-such") as terminal:
        assert terminal.ended() == 127
        assert b"no-such: No such file or directory" in terminal.seen
        assert restored(terminal)


def test_one_that_gives_its_terminal_up_is_waited_for(one: Running) -> None:
    script = "trap '' HUP; exec 0<&- 1<&- 2<&-; sleep 0.5; exit 9"
    with at_terminal(one, "one", "sh", "-c", script) as terminal:
        assert terminal.ended() == 9
        assert restored(terminal)


def test_when_nobody_reads_what_it_shows_it_ends(one: Running) -> None:
    script = f"{shlex.join(one.program)} exec one -- yes | head -n 1"
    terminal = Terminal("/bin/sh", "-c", script, environment=one.environment)
    try:
        assert terminal.ended() == 0
        assert terminal.seen.split() == [b"y"]
        one.until(lambda: not inside(one, "one", "yes"), "its end")
        assert restored(terminal)
    finally:
        terminal.close()


def test_it_is_no_way_to_type_into_the_operators(one: Running) -> None:
    # The operator's terminal is the controlling one of another session, and no descriptor leads to it.
    here = os.stat("/dev/pts").st_dev
    with at_terminal(one, "one", "stat", "-c", "%d", "/dev/pts", "/proc/self/fd/0") as terminal:
        assert terminal.ended() == 0
        found = {int(word) for word in terminal.seen.split()}
        assert here not in found
