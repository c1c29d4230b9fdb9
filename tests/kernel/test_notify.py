"""Holds of services that say themselves how they are, over sd_notify(3): they are heard, whoever else speaks is not, and who
falls silent is restarted.
"""

import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from supervisor.helper.protocol import Request
from tests.support.played import Played
from tests.support.running import PATIENCE, Running, Supervise
from tests.support.services import PYTHON, notifier, sleeper
from tests.support.visiting import execute

pytestmark = pytest.mark.kernel

NOTIFY = {"type": "notify"}
FOR_EVER = "\ntime.sleep(1000000)"


def address(running: Running, name: str) -> str:
    """Its socket, as root of the machine sees it."""
    return str(running.runtime_dir / "containers" / name / "notify/notify")


def say(path: str, words: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.sendto(words, path)


def test_it_is_ready_when_it_says_so_and_its_status_is_shown(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": notifier(
                'say("STATUS=warming up")\n'
                'while not os.path.exists("/tmp/go"): time.sleep(0.05)\n'
                f'say("READY=1", "STATUS=serving", "FDSTORE=1"){FOR_EVER}',
                ready=NOTIFY,
            )
        }
    )
    running.until(lambda: running.of("web")["status_text"] == "warming up", "its status")
    assert not running.of("web")["ready"]
    execute(running, "web", "/bin/touch", "/tmp/go")
    running.event("container.ready", "web")
    assert running.of("web")["status_text"] == "serving"


def test_the_socket_is_there_whatever_the_container_is_like(supervise: Supervise) -> None:
    kinds: dict[str, dict[str, Any]] = {
        "host-ids": {"userns": "host"},
        "user": {"user": "1000:1000"},
        "host-network": {"network": "host"},
        "read-only": {"rootfs_mode": "read-only"},
        "no-init": {"init": False},
    }
    says = f'say("READY=1"){FOR_EVER}'
    running = supervise(
        {name: notifier(says, ready=NOTIFY, **keys) for name, keys in kinds.items()},
        defaults={"stop": {"signal": "SIGKILL"}},
    )
    for name in kinds:
        running.event("container.ready", name)
    assert running.events("notify.refused") == []


def test_a_sender_that_has_ended_already_is_still_known_by_its_user_id(supervise: Supervise) -> None:
    speaker = f'exec {PYTHON} -c \'import os, socket; socket.socket(1, 2).sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])\''
    running = supervise({"web": sleeper(f"({speaker})", ready=NOTIFY)})
    running.event("container.ready", "web")


def test_who_is_no_process_of_the_container_is_not_heard(supervise: Supervise) -> None:
    running = supervise({"web": sleeper(ready=NOTIFY), "shared": sleeper(ready=NOTIFY, userns="host")})
    for name in ("web", "shared"):
        say(address(running, name), b"READY=1\nSTATUS=forged")
        refused = running.event("notify.refused", name)
        assert (refused["pid"], refused["uid"]) == (os.getpid(), 0)
        assert not running.of(name)["ready"]
        assert running.of(name)["status_text"] == ""
    assert running.events("container.ready") == []


def test_who_falls_silent_is_restarted(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": notifier(
                'print(os.environ["WATCHDOG_USEC"], flush=True)\n'
                'say("READY=1")\n'
                'while not os.path.exists("/tmp/hang"): say("WATCHDOG=1"); time.sleep(0.2)'
                + FOR_EVER,
                ready=NOTIFY | {"watchdog": "20s"},
            ),
            "short": notifier(f'say("READY=1"){FOR_EVER}', ready=NOTIFY | {"watchdog": "500ms"}),
            "broken": notifier(f'say("READY=1"); say("WATCHDOG=trigger"){FOR_EVER}', ready=NOTIFY | {"watchdog": "1h"}),
        }
    )  # fmt: skip
    assert running.event("container.stopping", "short")["why"] == "no WATCHDOG=1 for 0.5 s"
    assert running.event("container.exited", "short")["reason"] == "watchdog"
    assert running.event("container.stopping", "broken")["why"] == "it said WATCHDOG=trigger"
    running.line("web", "20000000")
    assert running.of("web")["run"] == 1


def test_a_daemon_that_was_held_up_does_not_take_its_own_sleep_for_silence(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": notifier(
                'say("READY=1")\nwhile True: say("WATCHDOG=1"); time.sleep(0.1)',
                ready=NOTIFY | {"watchdog": "4s"},
            )
        }
    )
    running.event("container.ready", "web")
    (daemon,) = daemons(running)
    os.kill(daemon, signal.SIGSTOP)
    try:
        then = time.monotonic() + 6  # longer than its watchdog
        running.until(lambda: time.monotonic() > then, "held up")
    finally:
        os.kill(daemon, signal.SIGCONT)
    seconds_pass(running, "web", 2)
    assert running.of("web")["run"] == 1


def seconds_pass(running: Running, name: str, count: int) -> None:
    """Of which each has its record."""
    before = len(running.events("cgroup.stat", name))
    running.until(lambda: len(running.events("cgroup.stat", name)) > before + count, "its records")


def daemons(running: Running) -> list[int]:
    return [int(one.partition(":")[0]) for one in running.left_processes() if "supervisor.daemon" in one]


def test_stopping_ends_the_watch_and_more_time_is_given_to_who_asks_for_it(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": notifier(
                "import signal\n"
                "def end(*_):\n"
                '    say("STOPPING=1", "EXTEND_TIMEOUT_USEC=600000000")\n'
                '    while not os.path.exists("/tmp/go"): time.sleep(0.05)\n'
                "    sys.exit(0)\n"
                'signal.signal(signal.SIGTERM, end)\nsay("READY=1")\n'
                'while True: say("WATCHDOG=1"); time.sleep(0.1)',
                ready=NOTIFY | {"watchdog": "2s"},
                stop={"timeout": "1s"},
                restart="never",
            )
        }
    )
    running.event("container.ready", "web")
    running.done("kill", "web", "-s", "TERM")  # it ends by itself: nobody has asked the supervisor
    seconds_pass(running, "web", 4)
    assert running.of("web")["state"] == "running"
    execute(running, "web", "/bin/touch", "/tmp/go")
    assert running.event("container.exited", "web")["code"] == 0


def test_the_main_process_that_it_names_is_the_one_that_is_shown(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": notifier(
                'child = os.fork()\nif child: say(f"MAINPID={child}"); say("MAINPID=1000000"); say("READY=1")'
                + FOR_EVER,
                ready=NOTIFY,
            )
        }
    )
    running.event("container.ready", "web")
    started = running.event("container.started", "web")["pid"]
    shown = running.of("web")["pid"]
    assert shown != started
    assert shown in running.processes("web")


def test_whoever_takes_over_hears_what_is_said_to_the_same_address(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": notifier(
                'say("READY=1")\nn = 0\n'
                "while True:\n"
                "    n += 1\n"
                '    try: say(f"STATUS={n}", "WATCHDOG=1")\n'
                "    except OSError: pass\n"
                "    time.sleep(0.1)",
                ready=NOTIFY | {"watchdog": "60s"},
            )
        }
    )
    running.event("container.ready", "web")
    assert running.process is not None
    for pid in (running.process.pid, *daemons(running)):
        os.kill(pid, signal.SIGKILL)
    running.process.wait()
    running.start()
    first = running.of("web")
    assert (first["run"], first["ready"]) == (1, True)
    running.until(lambda: running.of("web")["status_text"] not in {"", first["status_text"]}, "its words")


# ── the helper's part ──────────────────────────────────────────────────────────────────


def test_each_run_has_a_socket_of_its_own_and_the_daemon_gets_the_end_where_it_is_read(
    played: Callable[..., Played],
) -> None:
    play = played({"live": sleeper(ready=NOTIFY), "other": sleeper()})
    path = str(play.runtime_dir / "containers/live/notify/notify")
    for name in ("live", "other"):
        play.launch(name)
        play.until("started")
    say(path, b"STATUS=left from before")
    os.kill(play.heard[-2].pid if play.heard[-2].name == "live" else play.heard[-1].pid, signal.SIGKILL)
    play.until("ended")
    run = play.launch("live")
    play.until("started")
    say(path, b"STATUS=of this run")
    play.ask(Request("probe", "live", run, kind="notify"))
    _, extra, _, _ = play.helper.recvmsg(1 << 16, socket.CMSG_SPACE(4))
    words = socket.socket(fileno=int.from_bytes(extra[0][2], "little"))
    words.settimeout(PATIENCE)
    heard, credentials, _, _ = words.recvmsg(4096, socket.CMSG_SPACE(12))
    words.close()
    assert heard == b"STATUS=of this run"
    assert int.from_bytes(credentials[0][2][:4], "little") == os.getpid()
    play.ask(Request("probe", "other", play.runs["other"], kind="notify"))
    assert play.until("denied").path == "probe notify: none is declared"
