"""The answer to "why?": a container's history as plain values, the newest run first (SPEC §2, `supervisor why`)."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from supervisor.core import explain, throttling
from supervisor.core.history import CPU, Happening, Run
from supervisor.core.operator import Operator
from supervisor.core.readings import Reading
from supervisor.supervise.times import rfc3339

_USED = (*CPU, "quota_usec", "period_usec")


def why(
    name: str,
    now: Mapping[str, Any],
    runs: Sequence[Run],
    live: Reading | None,
    *,
    wall: float,
    cpus: int,
    ready_at_start: bool = True,
    newest: int | None = None,
) -> dict[str, Any]:
    """`now` has at least the container's `state` and `reason`; `live` is the last sample of a run under way.

    `ready_at_start`: it declares no readiness of its own, so it is ready once exec succeeded. `newest`: how many
    runs are told of at most, None: all; the sentences about the container are made of all of `runs` nevertheless.
    """
    state, reason = str(now.get("state", "unknown")), str(now.get("reason") or "")
    told = []
    for run in runs[::-1][:newest]:
        reading = live if live is not None and run is runs[-1] and run.end is None else run.reading
        told.append(_run(run, reading, wall, cpus, ready_at_start=ready_at_start))
    return {
        "name": name,
        "summary": explain.summary(name, state, reason, runs, wall),
        "slow": explain.slow(runs, live if runs and runs[-1].end is None else None, wall, cpus),
        "at": rfc3339(wall),
        **now,
        "runs": told,
    }


def _run(
    run: Run, reading: Reading | None, wall: float, cpus: int, *, ready_at_start: bool
) -> dict[str, Any]:
    ready = run.ready_at or (run.started_at if ready_at_start else None)
    end = run.end
    uptime = end.uptime_s if end is not None and end.uptime_s is not None else None
    if uptime is None and run.started_at is not None:
        uptime = round(max(0.0, (run.ended_at or wall) - run.started_at), 6)
    return {
        "run": run.run,
        "started": explain.beginning(run),
        "ended": explain.ending(run) if end is not None else None,
        "decided": run.decision or None,
        "why": run.why,
        "started_by": _who(run.starter),
        "adopted": run.adopted,
        "asked_at": rfc3339(run.asked_at),
        "started_at": rfc3339(run.started_at),
        "ready_at": rfc3339(ready),
        "ended_at": rfc3339(run.ended_at),
        "uptime_s": uptime,
        "pid": run.pid,
        "exit": None if end is None else _exit(run),
        "cpu": None if reading is None else _cpu(run, reading, wall, cpus),
        "memory": None if reading is None else _memory(reading),
        "then": None if run.follow is None else _happening(run.follow),
        "happenings": [_happening(each) for each in run.happenings],
        "output": [],
    }


def _exit(run: Run) -> dict[str, Any]:
    assert run.end is not None
    kept = asdict(run.end)
    del kept["uptime_s"]
    return {**kept, "by": (run.stopping or {}).get("by"), "operator": _who(run.stopper)}


def _cpu(run: Run, reading: Reading, wall: float, cpus: int) -> dict[str, Any]:
    return {
        **{key: getattr(reading, key) for key in _USED},
        "throttled_percent": throttling.share(reading),
        "sufficient_percent": explain.needs(run, reading, wall, cpus),
    }


def _memory(reading: Reading) -> dict[str, Any]:
    return {"peak": reading.memory_peak, "max": reading.memory_max, "oom_kill": reading.oom_kill}


def _happening(each: Happening) -> dict[str, Any]:
    return {"at": rfc3339(each.at), "event": each.event, "times": each.times, **each.fields}


def _who(operator: Operator | None) -> dict[str, int] | None:
    return None if operator is None else operator._asdict()
