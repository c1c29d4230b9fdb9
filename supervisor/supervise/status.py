"""What is known of a container, as `status --json` and `inspect` show it (SPEC §2)."""

from dataclasses import asdict
from typing import Any

from supervisor.core.machine import LIVE
from supervisor.supervise.container import Keeper
from supervisor.supervise.ports import Reading
from supervisor.supervise.times import rfc3339

CPU = (
    "usage_usec",
    "nr_periods",
    "nr_throttled",
    "throttled_usec",
    "quota_usec",
    "period_usec",
    "percent",
    "throttled_percent",
)


def status(keeper: Keeper, latest: Reading | None, waiting: int, now: float) -> dict[str, Any]:
    """`latest` is the last sample while it is watched; afterwards the run's own last reading is shown."""
    machine = keeper.machine
    reading = latest or keeper.reading
    cpu = {key: getattr(reading, key) for key in CPU}
    if machine.state not in LIVE:
        cpu |= {"percent": 0.0, "throttled_percent": 0.0}
    return {
        "name": keeper.name,
        "state": machine.state,
        "ready": machine.state == "running" and machine.ready,
        "healthy": machine.healthy,
        "waits_for": [{"name": wait.name, "why": wait.why} for wait in machine.unmet]
        if machine.state == "waiting"
        else [],
        "status_text": keeper.status_text,
        "pid": (keeper.main_pid or machine.pid) if machine.state in LIVE else machine.pid,
        "run": machine.run,
        "restarts": machine.restarts,
        "started_at": rfc3339(keeper.memory.began),
        "uptime_s": None if machine.started_at is None else round(max(0.0, now - machine.started_at), 6),
        "exit": None if machine.last is None else machine.last.fields(),
        "cgroup": None if keeper.cgroup is None else keeper.cgroup.unified,
        "cpu": cpu,
        "memory": {
            "current": reading.memory_current,
            "max": reading.memory_max,
            "oom_kill": reading.oom_kill,
        },
        "output_waiting": waiting,
        "next_run": rfc3339(keeper.next_run),
    }


def inspect(keeper: Keeper, shown: dict[str, Any]) -> dict[str, Any]:
    """`shown` is the container's status; added is why it is so, what it was told to be, and its past."""
    runs = [
        asdict(run) | {"started_at": rfc3339(run.started_at), "ended_at": rfc3339(run.ended_at)}
        for run in keeper.memory.runs
        if run.end is not None
    ]
    return {
        **shown,
        "reason": keeper.machine.reason,
        "launch_failure": keeper.memory.launch_failure,
        "configuration": asdict(keeper.spec),
        "history": runs,
    }
