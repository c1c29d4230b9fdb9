"""Holds of the helper when the daemon is its enemy: whatever comes over the socket has the effect that root declared, or
none but one refusal. The helper neither ends nor blocks nor grows, and signals nobody but the declared containers.

The test plays the daemon (tests.support.played), against the real helper with real containers.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.helper.protocol import Request, encode_request
from tests.support.enemy import without_effect
from tests.support.played import Played, descriptors, status_of
from tests.support.running import PATIENCE, job, until

pytestmark = pytest.mark.kernel

MESSAGES = 10_000
WARM = 1000  # messages after which nothing grows any more
SPARE = 1 << 20  # bytes that an allocator may hold on to
Play = Callable[..., Played]

FOR_EVER = job("/bin/sleep", "1000000")
PROBED = {"health": {"type": "exec", "command": ["/bin/sleep", "1000000"], "timeout": "1h"}}


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that any signal would end."""
    process = subprocess.Popen(["/bin/sleep", "1000000"])
    try:
        yield process
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def alive(play: Played, *names: str) -> dict[str, int]:
    """Launch them; the PIDs of their services."""
    found = {}
    for name in names:
        play.launch(name)
        found[name] = play.until("started").pid
    return found


def memory(pid: int) -> int:
    """Resident bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def asleep(pid: int) -> bool:
    """Waiting for an event: one that spins is never seen so."""
    return status_of(pid)["State"].startswith("S")


# ── messages ───────────────────────────────────────────────────────────────────────────


def test_ten_thousand_messages_are_each_refused_and_nothing_changes(
    played: Play, stranger: subprocess.Popen[bytes]
) -> None:
    play = played({"live": FOR_EVER, "other": FOR_EVER, "idle": FOR_EVER})
    pids = alive(play, "live", "other")
    size, before = 0, {}
    for number, data in enumerate(without_effect(MESSAGES, dict(play.runs), seed=1)):
        play.send(data)
        report = play.hear()
        assert report.what == "denied", (data, report)
        if number == WARM:
            size, before = memory(play.pid), descriptors(play.pid)
    assert memory(play.pid) - size < SPARE
    assert descriptors(play.pid) == before
    assert [one.what for one in play.heard[-MESSAGES:]] == ["denied"] * MESSAGES
    assert all(Path(f"/proc/{pid}").exists() for pid in pids.values())
    folders = {file.name for file in (play.runtime_dir / "containers").iterdir()}
    assert folders == {"live", "other"}


# ── every request in every phase ───────────────────────────────────────────────────────

#: Phase → the requests that are acted on, and what is reported of them. "{run}" is the present run.
ACTED_ON = {
    "idle": {("launch", 1): "started", ("remove", 0): "removed"},
    "launching": {("kill", 0): "refused"},
    "live": {("probe", 0): "probed", ("signal", 0): "ended", ("kill", 0): "ended"},
}


def in_phase(play: Played, phase: str) -> None:
    """Bring "live" there, and hold it there: a process in its launch is frozen."""
    alive(play, "live")
    play.ask(Request("kill", "live", play.runs["live"]))
    play.until("ended")
    play.launch("live")  # into a leaf that is new, and stays: this run ends by itself
    os.kill(play.until("started").pid, signal.SIGKILL)
    play.until("ended")
    if phase == "launching":
        (play.leaf("live") / "cgroup.freeze").write_text("1")
    if phase != "idle":
        play.launch("live")
    if phase == "live":
        play.until("started")


@pytest.mark.parametrize("phase", ACTED_ON)
def test_a_request_is_acted_on_in_its_phase_and_with_its_run_or_refused(
    played: Play, stranger: subprocess.Popen[bytes], phase: str
) -> None:
    play = played({"live": FOR_EVER | PROBED, "other": FOR_EVER})
    pid = alive(play, "other")["other"]
    in_phase(play, phase)
    run = play.runs["live"]
    for shift in (-1, 0, 1, 1000):
        for do in ("launch", "signal", "kill", "remove", "probe"):
            if (do, min(shift, 1)) in ACTED_ON[phase] or (do == "remove" and phase == "idle"):
                continue
            play.ask(Request(do, "live", run + shift, signal=signal.SIGKILL, kind="health"))
            assert play.hear().what == "denied", (do, shift)
    for (do, shift), what in ACTED_ON[phase].items():
        if play.heard[-1].what not in {"denied", "probed"}:  # it is no longer there
            in_phase(play, phase)
        run = play.runs["live"] + shift
        play.ask(Request(do, "live", run, signal=signal.SIGKILL, kind="health"))
        report = play.until("started", "refused", "ended", "removed", "probed", "denied")
        assert (report.what, report.name) == (what, "live"), (do, report)
        if do == "launch":
            play.runs["live"] = run
            play.ask(Request("kill", "live", run))
            play.until("ended")
    assert Path(f"/proc/{pid}").exists()


# ── floods and silence ─────────────────────────────────────────────────────────────────


def send_until_refused(play: Played, data: bytes, most: int = 100_000) -> int:
    """Without reading any answer, until the helper takes no more: how many."""
    play.helper.setblocking(False)
    sent = 0

    def full() -> bool:
        nonlocal sent
        with contextlib.suppress(BlockingIOError):
            while sent < most:
                play.send(data)
                sent += 1
        return asleep(play.pid) or sent == most

    until(full, "taking no more")
    play.helper.settimeout(PATIENCE)
    assert sent < most
    return sent


def test_a_daemon_that_reads_no_answer_is_not_heard_and_ends_of_runs_are_seen_all_the_same(
    played: Play,
) -> None:
    play = played({"live": FOR_EVER, "other": FOR_EVER})
    pids = alive(play, "live", "other")
    size = memory(play.pid)
    sent = send_until_refused(play, encode_request(Request("signal", "live", 1 << 40, signal=9)))
    assert memory(play.pid) - size < SPARE
    os.kill(pids["live"], signal.SIGKILL)
    until(lambda: "populated 0" in (play.leaf("live") / "cgroup.events").read_text(), "its end")
    until(lambda: not Path(f"/proc/{pids['live']}").exists(), "reaped")
    reports = [play.hear().what for _ in range(sent + 1)]
    assert sorted(reports) == ["denied"] * sent + ["ended"]
    assert play.launch("live") == 2
    assert play.until("started").run == 2


def test_a_flood_of_probes_is_one_probe_that_leaves_nothing(played: Play) -> None:
    play = played({"live": FOR_EVER | PROBED})
    alive(play, "live")
    before = descriptors(play.pid)
    request = Request("probe", "live", play.runs["live"], kind="health")
    answers = {"probing": 0, "probed": 0, "denied": 0}
    for number in range(300):
        play.ask(request)
        while answers["probing"] + answers["denied"] <= number:
            report = play.hear()
            answers[report.what] += 1
            assert report.what != "denied" or report.path == "probe health: one is under way"
    while answers["probed"] < answers["probing"]:
        answers[play.hear().what] += 1
    until(lambda: not list(play.leaf("live").glob("probe-*")), "nothing of it is left")
    until(lambda: descriptors(play.pid) == before, "no descriptor of it is left")
    assert len((play.leaf("live") / "cgroup.procs").read_text().split()) == 2  # init and service


def test_a_flood_of_words_for_the_service_manager_that_nobody_reads_does_not_block(
    played: Play, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + tmp_path.name + str(os.getpid()))
        address = manager.getsockname().decode().replace("\0", "@")
        play = played({"live": FOR_EVER}, environment=os.environ | {"NOTIFY_SOCKET": address})
        for _ in range(2000):
            play.ask(Request("notify", state="WATCHDOG=1"))
        alive(play, "live")


def test_a_daemon_that_closes_half_of_its_socket_does_not_make_the_helper_spin(played: Play) -> None:
    play = played({"live": FOR_EVER})
    pids = alive(play, "live")
    play.helper.shutdown(socket.SHUT_WR)
    until(lambda: asleep(play.pid), "waiting")
    os.kill(pids["live"], signal.SIGKILL)
    assert play.until("ended").name == "live"
    until(lambda: asleep(play.pid), "waiting")
    play.die()
    play.become_daemon()  # the next one is told
    assert [one.what for one in play.heard[-2:]] == ["ended", "told"]


def test_a_daemon_that_hangs_up_and_lives_on_does_not_make_the_helper_spin(played: Play) -> None:
    play = played({"live": FOR_EVER})
    pids = alive(play, "live")
    play.helper.close()
    until(lambda: asleep(play.pid), "waiting")
    os.kill(pids["live"], signal.SIGKILL)
    until(lambda: "populated 0" in (play.leaf("live") / "cgroup.events").read_text(), "its end")
    play.die()
    play.become_daemon()
    assert play.heard[-2].what == "ended"


def test_descriptors_that_are_sent_along_do_not_arrive(played: Play) -> None:
    play = played({"live": FOR_EVER})
    play.settle()
    before = descriptors(play.pid)
    own = [os.open("/", os.O_PATH)]
    own += [os.dup(own[0]) for _ in range(252)]  # SCM_MAX_FD
    try:
        for count in (1, 2, 100, 253):
            for data in (b"{", encode_request(Request("remove", "nobody")), b""):
                socket.send_fds(play.helper, [data], own[:count])
                assert play.hear().what == "denied"
    finally:
        for one in own:
            os.close(one)
    assert descriptors(play.pid) == before


def test_a_copy_of_the_socket_in_another_process_can_do_no_more(played: Play) -> None:
    play = played({"live": FOR_EVER})
    pids = alive(play, "live")
    code = "import socket, sys; socket.socket(fileno=int(sys.argv[1])).send(sys.argv[2].encode())"
    request = encode_request(Request("kill", "live", 1 << 40)).decode()
    subprocess.run(
        [sys.executable, "-c", code, str(play.helper.fileno()), request],
        pass_fds=[play.helper.fileno()],
        check=True,
    )
    assert play.hear().what == "denied"
    assert Path(f"/proc/{pids['live']}").exists()


def test_a_daemon_that_does_not_end_cannot_keep_the_helper_from_ending(played: Play) -> None:
    play = played({"live": FOR_EVER})
    alive(play, "live")
    play.ask(Request("exit"))
    assert play.process is not None
    assert play.process.wait(PATIENCE) == 0  # the leash is still held: by itself the stand-in would not end
    assert play.cgroups() == []


def test_what_a_daemon_leaves_behind_ends_with_the_helper(played: Play) -> None:
    play = played({"live": FOR_EVER})
    left = subprocess.Popen(["/bin/sleep", "1000000"])
    try:
        (play.leaf("_supervisor") / "cgroup.procs").write_text(str(left.pid))
        play.stop()
        assert left.wait(PATIENCE) == -signal.SIGKILL
    finally:
        left.kill()
        left.wait()
