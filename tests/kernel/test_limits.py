"""Holds of limits: each is in force in the kernel as it was declared, holds a container that strains against it,
and is told of when it bites.
"""

import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, Supervise, cgroup_mounts, shell

pytestmark = pytest.mark.kernel

SPIN = "while :; do :; done"
V1 = {mount.name for mount in cgroup_mounts()}
needs_memory = pytest.mark.skipif("memory" in V1, reason="memory is a v1 controller here")


def numbers(text: str) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split() for line in text.splitlines())}


def in_force(running: Running, name: str) -> str:
    """cpu.max as the kernel has it, in v2's words."""
    folder = running.controller(name, "cpu")
    if (folder / "cpu.max").exists():
        return (folder / "cpu.max").read_text().strip()
    quota, period = (int((folder / f"cpu.cfs_{what}_us").read_text()) for what in ("quota", "period"))
    return f"{'max' if quota < 0 else quota} {period}"


def usage(running: Running, name: str) -> int:
    return numbers((Path(running.of(name)["cgroup"]) / "cpu.stat").read_text())["usage_usec"]


def throttled_periods(running: Running, name: str) -> int:
    return numbers((running.controller(name, "cpu") / "cpu.stat").read_text())["nr_throttled"]


# ── cpu ────────────────────────────────────────────────────────────────────────────────

SPELLINGS: dict[str, Any] = {
    "percent": "10%",
    "cpus": 0.1,
    "microseconds": "10000",
    "kernel": "10000 100000",
}


@pytest.fixture
def capped(supervise: Supervise) -> Running:
    """A busy loop under a 10 % cap, and an idle one in each spelling."""
    idle = {name: shell("exec sleep 1000", cgroup={"cpu.max": value}) for name, value in SPELLINGS.items()}
    return supervise({"busy": shell(SPIN, cgroup={"cpu.max": "10%"}), **idle})


@pytest.mark.vm
def test_a_ten_percent_cap_measures_ten_percent_is_spelled_in_four_ways_and_is_told_of(
    capped: Running,
) -> None:
    # The busy loop is at work while the others are looked at. Its first period is not measured.
    for name in ("busy", *SPELLINGS):
        capped.state(name, "running")
    capped.event("cgroup.stat", "busy")
    began, before, throttled = time.monotonic(), usage(capped, "busy"), throttled_periods(capped, "busy")
    assert {name: in_force(capped, name) for name in SPELLINGS} == dict.fromkeys(SPELLINGS, "10000 100000")

    def percent() -> float:
        used = usage(capped, "busy") - before
        return used / (time.monotonic() - began) / 1e4

    time.sleep(max(0.0, 8 - (time.monotonic() - began)))
    # The kernel may notice late that the quota is used up (at a tick; a virtual CPU may stand still), and takes
    # it from the next periods: the longer, the closer to the cap.
    capped.until(lambda: percent() <= 11, "no more than ten percent")
    # No lower bound in time, which a busy machine may keep for others. But where it was throttled it had its quota.
    throttled = throttled_periods(capped, "busy") - throttled
    assert throttled > 0
    assert usage(capped, "busy") - before >= throttled * 10_000 / 2
    record = capped.event("cgroup.throttled", "busy")
    assert record["level"] == "warning"
    capped.until(lambda: capped.of("busy")["cpu"]["throttled_percent"] > 50, "throttled most of the time")
    cpu = capped.of("busy")["cpu"]
    assert (cpu["quota_usec"], cpu["period_usec"]) == (10_000, 100_000)
    assert cpu["nr_throttled"] > 0
    assert [one for one in capped.events("cgroup.stat", "busy") if one["nr_periods"] > 0]


def test_the_cpu_time_of_a_run_is_in_its_last_record(supervise: Supervise) -> None:
    running = supervise({"one": shell(f"trap 'exit 0' TERM; echo ready; {SPIN}")})
    running.line("one", "ready")  # recorded, so its start has been too
    began = time.monotonic()
    running.until(lambda: usage(running, "one") > 50_000, "50 ms of CPU time")
    lasted = time.monotonic() - began
    running.done("kill", "one")
    running.result("one")
    record = running.event("container.exited", "one")
    assert record["cpu"]["usage_usec"] > 50_000
    assert record["uptime_s"] > lasted


def test_no_cap_is_no_cap(supervise: Supervise) -> None:
    running = supervise({"one": shell("exec sleep 1000", cgroup={"cpu.max": "max", "cpu.weight": 50})})
    assert in_force(running, "one").split()[0] == "max"
    assert running.of("one")["cpu"]["quota_usec"] is None


# ── pids ───────────────────────────────────────────────────────────────────────────────

#: What it forks stays; the shell that is refused a fork ends, and is not the service.
BOMB = "(while :; do sleep 1000 & done) & exec sleep 1000"


@pytest.mark.vm
def test_a_fork_bomb_is_bounded_by_pids_max_and_ended_by_stop(supervise: Supervise) -> None:
    running = supervise({"bomb": shell(BOMB, cgroup={"pids.max": 20}), "calm": shell("exec sleep 1000")})
    folder = running.controller("bomb", "pids")
    assert (folder / "pids.max").read_text() == "20\n"
    assert (running.controller("calm", "pids") / "pids.max").read_text() == "4096\n"
    running.until(lambda: numbers((folder / "pids.events").read_text())["max"] > 0, "its forks are refused")
    assert 15 < int((folder / "pids.current").read_text()) <= 20
    assert running.done("stop", "bomb") == ""
    assert running.of("bomb")["state"] == "stopped"
    assert running.of("calm")["state"] == "running"


# ── memory ─────────────────────────────────────────────────────────────────────────────

#: tail keeps a line in memory until it ends, and this one never does.
EAT = "tail -n 1 /dev/zero"


@pytest.mark.vm
@needs_memory
def test_running_out_of_memory_is_told_as_what_it_is(supervise: Supervise) -> None:
    limits = {"memory.max": "16MiB", "memory.oom.group": True}
    running = supervise({"eater": shell(f"exec {EAT}", cgroup=limits)})
    ended = running.state("eater", "exited")
    assert ended["exit"] == {"code": None, "signal": 9, "oom": True, "reason": "oom"}
    assert running.event("memory.oom_kill", "eater")["level"] in {"warning", "error"}
    record = running.event("container.exited", "eater")
    assert (record["oom"], record["signal"], record["reason"]) == (True, 9, "oom")


@pytest.mark.vm
@needs_memory
def test_limits_on_memory_read_back_as_declared(supervise: Supervise) -> None:
    limits = {"memory.max": "64MiB", "memory.high": "48M", "memory.oom.group": True}
    running = supervise({"one": shell("exec sleep 1000", cgroup=limits)})
    running.state("one", "running")
    folder = running.controller("one", "memory")
    found = {key: (folder / key).read_text().strip() for key in limits}
    assert found == {"memory.max": str(64 << 20), "memory.high": str(48 << 20), "memory.oom.group": "1"}
    assert running.of("one")["memory"]["max"] == 64 << 20
