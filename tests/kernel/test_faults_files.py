"""Holds when files cannot be written or cgroups are meddled with: what the user sees is why, what can be tried again is, nothing is
left, and the other containers do not notice.
"""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.support.killing import kill_both, kill_daemon
from tests.support.running import Running, Supervise, cgroup_mounts, shell

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
HASTY = {"policy": "always", "backoff": {"initial": "50ms", "factor": 1.0, "max": "50ms", "jitter": 0.0}}
NUMBERS = "trap 'exit 0' TERM; i=0; while :; do i=$((i + 1)); echo $i; sleep 0.002; done"


class Disk:
    """A small file system of one's own at a folder."""

    def __init__(self, point: Path) -> None:
        self.point, self.filler = point, point / "filler"

    def fill(self) -> None:
        with self.filler.open("wb", buffering=0) as file, suppress(OSError):
            for size in (1 << 16, 1):
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def empty(self) -> None:
        self.filler.unlink(missing_ok=True)

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.point], check=True)


@pytest.fixture
def disk() -> Iterator[Callable[[Path], Disk]]:
    points: list[Path] = []

    def make(point: Path) -> Disk:
        point.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "faults", point], check=True)
        points.append(point)
        return Disk(point)

    yield make
    for point in points:
        subprocess.run(["umount", "--lazy", point], check=False)


@contextmanager
def on(disk: Disk, running: Running) -> Iterator[None]:
    """A supervisor, which ends before its disk goes."""
    try:
        yield
    finally:
        disk.empty()
        running.call("stop")
        if running.process:
            running.process.wait()
        subprocess.run(["umount", disk.point], check=True)


def in_order(running: Running, name: str) -> None:
    lines = running.lines(name)
    assert lines == [str(number + 1) for number in range(len(lines))]


# ── disks ──────────────────────────────────────────────────────────────────────────────


def test_on_a_full_log_disk_output_waits_is_told_and_comes(
    supervise: Supervise, disk: Callable[[Path], Disk]
) -> None:
    running = supervise.prepare({"flood": shell(NUMBERS), "other": shell(FOREVER)})
    full = disk(running.log_dir)
    with on(full, running):
        running.start()
        running.line("flood", "10")
        full.fill()
        running.until(lambda: running.of("flood")["output_waiting"], "what waits is in the status")
        assert running.call("status").returncode == 0
        kill_daemon(running)  # also one that starts on a full disk waits, and answers
        kill_both(running)
        running.start()
        running.until(lambda: running.of("flood")["output_waiting"], "and again")
        full.empty()
        running.event("logs.resumed")
        running.done("stop", "flood")
        in_order(running, "flood")


def test_on_a_full_run_disk_starts_are_refused_and_tried_again(
    supervise: Supervise, disk: Callable[[Path], Disk]
) -> None:
    running = supervise.prepare({"one": shell(FOREVER, restart=HASTY), "other": shell(FOREVER)})
    full = disk(running.runtime_dir)
    with on(full, running):
        running.start()
        other, one = running.of("other")["pid"], running.of("one")
        full.fill()
        os.kill(one["pid"], signal.SIGKILL)
        running.until(lambda: running.of("one")["run"] > one["run"] + 2, "it is tried again")
        assert running.events("supervisor.trouble") or running.events("container.launch_failed", "one")
        full.empty()
        running.until(lambda: running.of("one")["state"] == "running", "it runs")
        assert running.of("other")["pid"] == other
        kill_daemon(running)
        assert running.of("other")["pid"] == other


def test_in_a_read_only_run_directory_nothing_is_started_and_it_says_so(
    supervise: Supervise, disk: Callable[[Path], Disk]
) -> None:
    running = supervise.prepare({"one": shell(FOREVER)})
    small = disk(running.runtime_dir)
    small.remount("ro")
    done = running.call("start", f"{running.configs}/")
    assert done.returncode == 1
    assert "Read-only file system" in done.stderr
    assert done.stderr.count("\n") <= 2


def test_where_run_files_cannot_be_made_any_more_starts_are_refused_and_tried_again(
    supervise: Supervise,
) -> None:
    running = supervise({"one": shell(FOREVER, restart=HASTY), "flood": shell(NUMBERS)})
    flood, folder = running.of("flood")["pid"], running.runtime_dir / "containers"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "faults", folder], check=True)
    try:
        os.kill(running.of("one")["pid"], signal.SIGKILL)
        failed = running.event("container.launch_failed", "one")
        assert failed["errno"] in {2, 30}, failed  # ENOENT, EROFS
        running.done("status")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)  # the helper may be looking into it
    running.until(lambda: running.of("one")["state"] == "running", "it runs again")
    assert running.of("flood")["pid"] == flood
    running.done("stop", "flood")
    in_order(running, "flood")


# ── cgroups ────────────────────────────────────────────────────────────────────────────


def test_a_cgroup_removed_from_outside_is_made_anew(supervise: Supervise) -> None:
    slow = {**HASTY, "backoff": {"initial": "1s", "factor": 1.0, "max": "1s", "jitter": 0.0}}
    running = supervise({"one": shell("exit 1", restart=slow), "other": shell(FOREVER)})
    running.state("one", "backoff")
    for folder in [one for one in running.cgroups() if one.name == "one"]:
        with suppress(OSError):
            folder.rmdir()
    assert running.until(lambda: running.of("one")["run"] >= 3, "it runs again")
    assert running.of("other")["run"] == 1
    assert not running.events("supervisor.bug")


def test_a_cgroup_that_somebody_else_uses_is_told_of_and_is_no_obstacle(supervise: Supervise) -> None:
    """rmdir(2) says EBUSY: a process that is not the container's, in one of its version 1 cgroups."""
    if not any(one.name == "cpu" for one in cgroup_mounts()):
        pytest.skip("no version 1 hierarchy: what is in the only cgroup is killed with it")
    running = supervise({"one": shell(FOREVER), "other": shell(FOREVER)})
    stranger = subprocess.Popen(["sleep", "100000"])
    try:
        folder = next(one for one in running.cgroups() if one.name == "one" and "/cpu/" in str(one))
        home = folder.parent.parent / "cgroup.procs"
        (folder / "cgroup.procs").write_text(str(stranger.pid))
        running.done("stop", "one")
        assert running.event("launcher.not_removed", "one")["errno"] == 16  # EBUSY
        running.done("start", "one")
        assert running.of("one")["run"] == 2
        home.write_text(str(stranger.pid))
    finally:
        stranger.kill()
        stranger.wait()


def test_a_container_whose_cgroup_an_operator_empties_by_hand_is_told_as_killed(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, restart=HASTY)})
    (Path(running.of("one")["cgroup"]) / "cgroup.kill").write_text("1")
    ended = running.event("container.exited", "one")
    assert (ended["signal"], ended["reason"]) == (signal.SIGKILL, "signal")
    assert running.state("one", "running", run=2)


# ── many at once ───────────────────────────────────────────────────────────────────────


def test_containers_that_end_in_one_instant_are_each_told_once_and_exactly(supervise: Supervise) -> None:
    names = {f"end{number}": number for number in range(40)}
    script = "mkfifo /tmp/go 2>/dev/null; echo ready; read -r x </tmp/go; exit {}"
    running = supervise({name: shell(script.format(code)) for name, code in names.items()})
    for name in names:
        running.line(name, "ready")
    gates = [Path(f"/proc/{running.of(name)['pid']}/root/tmp/go") for name in names]
    start = threading.Barrier(len(gates))

    def let_go(gate: Path) -> None:
        start.wait()
        gate.write_text("\n")

    threads = [threading.Thread(target=let_go, args=(gate,)) for gate in gates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, code in names.items():
        assert running.state(name, "exited")["exit"]["code"] == code
        assert len(running.events("container.exited", name)) == 1


def test_a_second_signal_during_a_start_of_many_stops_all_and_starts_no_more(supervise: Supervise) -> None:
    deaf = shell("trap '' TERM; while :; do sleep 1000; done", stop={"timeout": "1h"})
    running = supervise.prepare({f"many{number}": deaf for number in range(30)})
    running.begin()
    running.until_answering()
    assert running.process
    running.process.send_signal(signal.SIGINT)
    running.event("supervisor.stopping")
    time.sleep(0.3)  # two at once are one
    running.process.send_signal(signal.SIGINT)
    running.ended()
    asked = running.event("supervisor.stopping")["ts"]
    late = [one for one in running.events("container.starting") if one["ts"] > asked]
    assert late == []
