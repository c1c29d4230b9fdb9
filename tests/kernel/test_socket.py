"""Holds of the socket: only root and the members of one group may ask, by the kernel's word; every change is on
record with the uid and PID of who asked; and no client, alone or a thousand of them, keeps others from asking.
"""

import contextlib
import os
import resource
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.accounts import ALICE, BOB, CAROL, GROUP, asked, become, child
from tests.support.fuzz import messages
from tests.support.running import PATIENCE, SLOWER, Running, Supervise, shell

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
FOLLOW = b"GET /v1/events?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n"


@pytest.fixture
def shared(supervise: Supervise) -> Running:
    """A supervisor whose socket belongs to GROUP, in a folder that others can reach."""
    running = supervise.prepare({"one": shell(FOREVER, restart="always")}, settings={"group": GROUP})
    running.short.chmod(0o755)
    running.start()
    return running


def connected(running: Running, first: bytes = b"") -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(PATIENCE)
    sock.connect(str(running.runtime_dir / "api.sock"))
    with contextlib.suppress(ConnectionError):
        sock.sendall(first)
    return sock


def daemon(running: Running) -> Path:
    """/proc/PID of the unprivileged half."""
    helper = running.info()["pid"]
    for pid in Path(f"/proc/{helper}/task/{helper}/children").read_text().split():
        if b"supervisor.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return Path(f"/proc/{pid}")
    raise AssertionError(running.report())


# ── who ────────────────────────────────────────────────────────────────────────────────


def test_the_socket_is_roots_and_the_groups(shared: Running) -> None:
    found = os.stat(shared.runtime_dir / "api.sock")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, GROUP, 0o660)


def test_a_member_of_the_group_may_ask_and_is_on_record(shared: Running) -> None:
    assert asked(shared, ALICE, (GROUP,), "status").code == 0
    done = asked(shared, ALICE, (GROUP,), "restart", "one")
    assert (done.code, done.said) == (0, "")
    record = shared.event("operator.request", "one", action="restart")
    assert record["operator"] == {"uid": ALICE, "pid": done.pid}
    killed = asked(shared, ALICE, (GROUP,), "kill", "one", "-s", "KILL")
    assert shared.event("operator.request", "one", action="kill")["operator"]["pid"] == killed.pid
    assert len(shared.events("operator.request")) == 2  # who only reads is not on record


def test_who_stops_the_whole_supervisor_is_on_record(shared: Running) -> None:
    done = asked(shared, BOB, (GROUP,), "stop")
    assert (done.code, done.said) == (0, "")
    shared.ended()
    (record,) = [one for one in shared.events("operator.request") if "container" not in one]
    assert (record["action"], record["operator"]) == ("stop", {"uid": BOB, "pid": done.pid})


def test_an_account_outside_the_group_may_not_even_connect(shared: Running) -> None:
    for command in (("status",), ("stop", "one"), ("stop",)):
        done = asked(shared, CAROL, (CAROL,), *command)
        assert done.code == 4
        assert 1 <= done.said.count("\n") <= 2
        assert "group" in done.said
    assert shared.events("operator.request") == []
    assert shared.of("one")["run"] == 1


def test_without_a_group_roots_group_opens_no_door_and_who_tried_is_on_record(supervise: Supervise) -> None:
    running = supervise.prepare({"one": shell(FOREVER)})
    running.short.chmod(0o755)
    running.start()
    found = os.stat(running.runtime_dir / "api.sock")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 0, 0o660)
    first = asked(running, CAROL, (0,), "stop", "one")  # the mode of the socket lets this one in
    again = asked(running, CAROL, (0,), "status")
    assert (first.code, again.code) == (4, 4)
    assert "only the account that started it" in first.said
    refused = [record["operator"] for record in running.events("operator.refused")]
    assert refused == [{"uid": CAROL, "pid": first.pid}]  # once, not as often as one likes
    assert running.of("one")["state"] == "running"


# ── how much ───────────────────────────────────────────────────────────────────────────


@pytest.fixture
def many_descriptors() -> Iterator[int]:
    """How many connections this process may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2000 if hard == resource.RLIM_INFINITY else min(hard, 2000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield max(soft, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_thousand_clients_that_do_nothing_keep_nobody_from_asking(
    supervise: Supervise, many_descriptors: int
) -> None:
    chatty = "i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); echo $i; done; exec sleep 100000"
    running = supervise({"one": shell(FOREVER, restart="always"), "chatty": shell(chatty)})
    running.line("chatty", "20000")
    before = len(os.listdir(daemon(running) / "fd"))
    with contextlib.ExitStack() as there:
        # All of them root's, as the one who asks: between users they are counted apart.
        unread = there.enter_context(connected(running, FOLLOW.replace(b"events", b"logs")))
        assert unread.recv(1) == b"H"
        for _ in range(min(1000, many_descriptors - 200)):
            there.enter_context(connected(running))
        large = there.enter_context(
            connected(running, b"POST /v1/stop HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        )
        slow: list[socket.socket] = []
        for byte in b"GET /v1/":
            # Those that were dropped to make room come again.
            slow += [there.enter_context(connected(running)) for _ in range(20)]
            for sock in slow:
                with contextlib.suppress(ConnectionError):
                    sock.sendall(bytes([byte]))
            assert running.call("status").returncode == 0
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                large.sendall(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n")
        assert running.done("restart", "one") == ""
        assert running.of("one")["run"] == 2
    running.until(lambda: len(os.listdir(daemon(running) / "fd")) <= before + 1, f"{before} descriptors")
    assert running.events("supervisor.bug") == []


@contextlib.contextmanager
def hoarder(running: Running, uid: int, count: int) -> Iterator[None]:
    """An account that takes all the connections it can get, and has each of them answered without end."""
    with child() as (pid, pipe):
        if pid == 0:
            become(uid, (GROUP,))
            there = [connected(running, FOLLOW) for _ in range(count)]
            answers = [sock.recv(12) for sock in there]
            os.write(pipe, b"%d" % answers.count(b"HTTP/1.1 200"))
            signal.pause()
        assert 0 < int(os.read(pipe, 100)) < count
        yield


def test_a_user_who_takes_all_connections_there_are_takes_the_own_ones(shared: Running) -> None:
    with hoarder(shared, ALICE, 200):
        assert asked(shared, ALICE, (GROUP,), "status").code == 3  # said, not hung
        assert asked(shared, BOB, (GROUP,), "status").code == 0
        with hoarder(shared, BOB, 200):
            assert shared.call("status").returncode == 0  # root comes in however many there are
    assert shared.until(lambda: asked(shared, ALICE, (GROUP,), "status").code == 0, "room again")


def test_thousands_of_damaged_messages_change_nothing(supervise: Supervise) -> None:
    running = supervise({"web": shell(FOREVER, restart="always")})
    before = running.of("web")
    half = daemon(running)
    descriptors = len(os.listdir(half / "fd"))
    for message in messages(3_000 // SLOWER, seed=3):
        with connected(running, message) as sock, contextlib.suppress(ConnectionError):
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
    now = running.of("web")
    same = ("state", "pid", "run", "restarts", "started_at")
    assert [now[key] for key in same] == [before[key] for key in same]
    assert running.events("supervisor.bug") == []
    assert running.events("operator.request") == []
    assert daemon(running) == half
    running.until(lambda: len(os.listdir(half / "fd")) <= descriptors, f"{descriptors} descriptors")
