"""Holds when processes misbehave, or there are no more to be had: what the user sees is why, what can be tried again is,
nothing is left, and the other containers do not notice. FAULTS=long has them last longer.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.killing import alive, daemon, helper, zygote
from tests.support.running import Running, Supervise, cgroup_mounts, gone, shell

pytestmark = pytest.mark.kernel

LONG = os.environ.get("FAULTS") == "long"
FOREVER = "exec sleep 100000"
HASTY = {"policy": "always", "backoff": {"initial": "50ms", "factor": 1.0, "max": "50ms", "jitter": 0.0}}
NUMBERS = "trap 'exit 0' TERM; i=0; while :; do i=$((i + 1)); echo $i; sleep 0.002; done"


def in_order(running: Running, name: str) -> None:
    lines = running.lines(name)
    assert lines == [str(number + 1) for number in range(len(lines))]


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


# ── of a container ─────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", ["stopped", "frozen"])
def test_a_container_that_does_not_run_is_ended_all_the_same(supervise: Supervise, how: str) -> None:
    running = supervise({"one": shell(FOREVER, stop={"timeout": "300ms"}), "other": shell(FOREVER)})
    pid, other = running.of("one")["pid"], running.of("other")["pid"]
    if how == "stopped":
        os.kill(pid, signal.SIGSTOP)
    else:
        (Path(running.of("one")["cgroup"]) / "cgroup.freeze").write_text("1")
        running.event("cgroup.events", "one", frozen=True)
    assert running.of("one")["state"] == "running"
    running.done("stop", "one")
    assert running.of("one")["exit"]["signal"] == signal.SIGKILL
    assert gone(pid)
    assert running.of("other")["pid"] == other
    running.done("start", "one")
    assert running.of("one")["run"] == 2


def test_ten_thousand_children_leave_no_zombie_and_the_status_is_exact(supervise: Supervise) -> None:
    script = (
        "i=0; while [ $i -lt 10000 ]; do i=$((i + 1)); (setsid true &); done; echo done; sleep 1000 & wait"
    )
    running = supervise({"one": shell(script), "exact": shell("(true &); exit 37")})
    running.line("one", "done")
    running.until(lambda: len(running.processes("one")) == 3, "init, shell and sleep alone")
    assert running.state("exact", "exited")["exit"]["code"] == 37


def test_a_service_in_an_uninterruptible_sleep_is_waited_for_and_nobody_else_waits(
    supervise: Supervise, tmp_path: Path
) -> None:
    """A process that writes to a frozen file system is not even ended by SIGKILL (ioctl_fs(2), FIFREEZE)."""
    with frozen_disk(tmp_path) as (folder, freeze, thaw):
        mount = {"type": "bind", "source": str(folder), "target": "/disk", "options": ["rw"]}
        running = supervise({
            "one": shell(
                "echo ready; while :; do echo x >/disk/file 2>/dev/null || echo y >/disk/file; done",
                userns="host", stop={"timeout": "200ms"}, mounts=[mount],
            ),
            "other": shell(FOREVER),
        })  # fmt: skip
        running.line("one", "ready")
        pid = running.of("one")["pid"]
        freeze()
        try:
            asleep = Path(f"/proc/{pid}/stat")
            running.until(lambda: asleep.read_text().rpartition(")")[2].split()[0] == "D", "asleep")
            stopping = subprocess.Popen([*running.program, "stop", "one"], env=running.environment)
            running.event("container.killing", "one")
            running.done("restart", "other")
            assert running.of("one")["state"] == "stopping"
            assert stopping.poll() is None
        finally:
            thaw()
        assert stopping.wait(120) == 0
        assert running.of("one")["exit"]["signal"] == signal.SIGKILL


@contextmanager
def frozen_disk(folder: Path) -> Iterator[tuple[Path, Callable[[], object], Callable[[], object]]]:
    """A file system of one's own, and how it is frozen and thawed; skips where none can be had."""
    image, point = folder / "image", folder / "disk"
    point.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", str(image)], capture_output=True, check=False)
    if made.returncode or subprocess.run(["mount", "-o", "loop", image, point], check=False).returncode:
        pytest.skip("no loop device here: no file system can be frozen")
    point.chmod(0o777)
    try:
        yield (
            point,
            lambda: subprocess.run(["fsfreeze", "-f", point], check=True),
            lambda: subprocess.run(["fsfreeze", "-u", point], check=False),
        )
    finally:
        subprocess.run(["umount", "--lazy", point], check=False)


def test_with_its_init_all_of_a_container_ends(supervise: Supervise) -> None:
    script = "i=0; while [ $i -lt 100 ]; do i=$((i + 1)); setsid -f sleep 100000; done; echo there; sleep 100000 & wait"
    running = supervise({"one": shell(script)})
    running.line("one", "there")
    running.until(lambda: len(running.processes("one")) == 103, "init, shell, and all that sleep")
    pids = running.processes("one")
    os.kill(parent(running.of("one")["pid"]), signal.SIGKILL)
    ended = running.state("one", "exited", "failed", "backoff")
    assert ended["exit"]["signal"] == signal.SIGKILL
    assert not [pid for pid in pids if not gone(pid)]


# ── of the supervisor ──────────────────────────────────────────────────────────────────


def test_both_halves_held_still_lose_nothing_and_answer_again(supervise: Supervise) -> None:
    """As a machine that is suspended, for all that they can tell."""
    running = supervise(
        {"flood": shell(NUMBERS), "ends": shell("echo go; sleep 0.3; exit 9", restart="never")}
    )
    halves = (helper(running), daemon(running))
    for pid in halves:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(60 if LONG else 2)  # the fault itself
    for pid in halves:
        os.kill(pid, signal.SIGCONT)
    assert running.state("ends", "exited")["exit"]["code"] == 9
    running.done("stop", "flood")
    in_order(running, "flood")
    assert [one["run"] for one in running.status()] == [1, 1]


@contextmanager
def few_processes(running: Running) -> Iterator[Path]:
    """The helper and its zygote in a cgroup that lets them have no more processes; gives the folder."""
    top = next((one for one in cgroup_mounts() if one.name == "pids"), None)
    if top is None:
        pytest.skip("no pids hierarchy of its own: the helper cannot be moved")
    folder, home = top / f"faults-{os.getpid()}", Path(f"/proc/{helper(running)}/cgroup").read_text()
    before = next(line.split(":")[2] for line in home.splitlines() if line.split(":")[1] == "pids")
    folder.mkdir()
    try:
        for one in (helper(running), zygote(running)):
            (folder / "cgroup.procs").write_text(str(one))
        (folder / "pids.max").write_text("1")
        yield folder
    finally:
        for pid in (folder / "cgroup.procs").read_text().split():
            (top / before.lstrip("/") / "cgroup.procs").write_text(pid)
        folder.rmdir()


def test_without_processes_to_be_had_a_start_is_refused_and_tried_again(supervise: Supervise) -> None:
    running = supervise({"one": shell(FOREVER, restart=HASTY), "other": shell(FOREVER)})
    pid, other = running.of("one")["pid"], running.of("other")["pid"]
    with few_processes(running) as folder:
        os.kill(pid, signal.SIGKILL)
        failed = running.event("container.launch_failed", "one")
        assert failed["errno"] == 11, failed  # EAGAIN
        (folder / "pids.max").write_text("max")
        again = running.until(
            lambda: running.of("one") if running.of("one")["state"] == "running" else None, "it"
        )
        assert alive(again["pid"])
    assert running.of("other")["pid"] == other


@pytest.mark.parametrize("half", ["helper", "daemon"])
def test_without_descriptors_to_be_had_everything_goes_on_and_recovers(
    supervise: Supervise, half: str
) -> None:
    running = supervise({"one": shell(FOREVER, restart=HASTY), "flood": shell(NUMBERS)})
    who, pid = {"helper": helper, "daemon": daemon}[half](running), running.of("one")["pid"]
    numbers = [int(one) for one in os.listdir(f"/proc/{who}/fd")]
    account = Path(f"/proc/{who}").stat().st_uid if half == "helper" else 65534
    set_files(who, max(numbers) + 2, account)
    os.kill(pid, signal.SIGKILL)
    time.sleep(1.0)  # for as long as it lasts
    set_files(who, 4096, account)
    running.until(
        lambda: running.of("one")["state"] == "running" and running.of("one")["run"] > 1, "it runs again"
    )
    assert not gone(who)
    running.done("stop", "flood")
    in_order(running, "flood")


def set_files(pid: int, most: int, uid: int) -> None:
    """As its own account: another needs CAP_SYS_RESOURCE (prlimit(2))."""
    subprocess.run(
        ["prlimit", f"--pid={pid}", f"--nofile={most}:"], check=True, user=uid, group=uid, extra_groups=[]
    )
