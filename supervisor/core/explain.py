"""A container's history in plain sentences: pure functions of its runs."""

import errno
from collections.abc import Sequence
from signal import Signals
from typing import Any

from supervisor.core import throttling
from supervisor.core.history import Run
from supervisor.core.operator import Operator
from supervisor.core.readings import Reading

#: Seconds over which restarts are counted.
RECENT = 600.0
#: What an end that was asked for was asked by, or seen by.
CAUSES = {
    "operator": "stopped by an operator",
    "supervisor": "stopped because the supervisor stopped",
    "dependency": "stopped because of a container it depends on",
    "group": "stopped with its group",
    "configuration": "stopped because its configuration changed",
    "health": "ended because it was unhealthy",
    "readiness": "ended because it was not ready in time",
    "watchdog": "ended because it did not feed its watchdog",
    "schedule": "stopped because its next time had come",
}
KNOWN = {each.value for each in Signals}


def summary(name: str, state: str, reason: str, runs: Sequence[Run], now: float) -> str:
    """One line: what is the matter with it, the most important first."""
    last = next((run for run in reversed(runs) if run.end is not None), None)
    again = [run for run in runs if _restarted(run) and now - (run.ended_at or now) <= RECENT]
    if state == "failed":
        return f"{name} failed: {reason or (ending(last) if last else 'nobody knows why')}"
    if state == "stopped":
        return f"{name} was stopped{_by(last.stopper) if last else ''}"
    if again and last is not None:
        times = "once" if len(again) == 1 else f"{len(again)} times"
        return f"{name} restarted {times} in the last 10 minutes: {ending(again[-1])}"
    if state == "running" and runs:
        since = runs[-1].started_at
        return (
            f"{name} has been running for {span(now - since)}" if since is not None else f"{name} is running"
        )
    if state in {"exited", "backoff"} and last is not None:
        return f"{name} ended: {ending(last)}"
    return f"{name} is {state}" + (f": {reason}" if reason else "")


def slow(runs: Sequence[Run], reading: Reading | None, now: float, cpus: int) -> str | None:
    """What is to be said of the CPU of the latest run; None: it was never made to wait for it."""
    run = runs[-1] if runs else None
    seen = reading or (run.reading if run else None)
    if run is None or seen is None:
        return None
    return throttled(run, seen, now, cpus)


def throttled(run: Run, reading: Reading, now: float, cpus: int) -> str | None:
    percent, cap = throttling.share(reading), throttling.cap(reading)
    needed = needs(run, reading, now, cpus)
    if not percent or cap is None or needed is None:
        return None
    rounded = f"{percent:.0f}" if percent >= 1 else "less than 1"
    return f"throttled in {rounded} % of periods: cpu.max {cap:g} % would have had to be {needed} %"


def needs(run: Run, reading: Reading, now: float, cpus: int) -> int | None:
    """The cap that would have sufficed, in per cent of one CPU; the highest that any warning named."""
    if not reading.nr_throttled or run.started_at is None:
        return None
    elapsed = max((run.ended_at or now) - run.started_at, 0.001)
    mean = throttling.sufficient(reading.usage_usec, reading.throttled_usec, reading, elapsed, cpus)
    told = [each.fields.get("sufficient") for each in run.happenings if each.event == "cgroup.throttled"]
    numbers = [int(text[:-1]) for text in told if isinstance(text, str) and text[:-1].isdigit()]
    return max([mean, *numbers])


def ending(run: Run) -> str:
    """How a run ended, as part of a sentence."""
    end = run.end
    if end is None:
        return "it has not ended"
    if end.failure is not None:
        return f"it could not be launched: {_failure(end.failure)}"
    if end.reason in CAUSES:
        return CAUSES[end.reason] + _because(run) + _by(run.stopper) + _forced(run)
    if end.signal is not None:
        text = f"killed by {signal_name(end.signal)}"
        text += ", core dumped" if end.core else ""
        return text + (f", out of memory{_limit(run.reading)}" if end.oom else _sender(run))
    if end.oom:
        code = "" if end.code is None else f", exit code {end.code}"
        return f"out of memory{_limit(run.reading)}{code}"
    return "nobody saw how it ended" if end.code is None else f"exit code {end.code}"


def beginning(run: Run) -> str:
    """Why it was started."""
    return (run.why or ("taken over" if run.adopted else "unknown")) + _by(run.starter)


def span(seconds: float) -> str:
    """A time that has passed, in the largest unit that says enough: 8 s, 12 min, 5 h, 3 days."""
    s = max(0.0, seconds)
    if s < 10:
        return f"{s:.1f} s"
    if s < 120:
        return f"{s:.0f} s"
    if s < 7200:
        return f"{s / 60:.0f} min"
    return f"{s / 3600:.0f} h" if s < 172800 else f"{s / 86400:.0f} days"


def signal_name(number: int) -> str:
    return Signals(number).name if number in KNOWN else f"signal {number}"


def size(count: int) -> str:
    """Bytes in the largest unit of which it is a whole number."""
    for unit, bytes_each in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= bytes_each and count % bytes_each == 0:
            return f"{count // bytes_each}{unit}"
    return f"{count} bytes"


def _restarted(run: Run) -> bool:
    return run.follow is not None and run.follow.event == "container.backoff"


def _by(who: Operator | None) -> str:
    if who is None:
        return ""
    return f" (uid {who.uid}, pid {who.pid})" if who.pid else f" (uid {who.uid})"


def _because(run: Run) -> str:
    """What the supervisor knew when it asked for the end: what a probe said, or the keys that changed."""
    why = (run.stopping or {}).get("why")
    if why:
        return f" ({why})"
    told = [each for each in run.happenings if each.event == "container.reconfigured"]
    keys = told[-1].fields.get("keys") if told and run.end and run.end.reason == "configuration" else None
    return f" ({', '.join(map(str, keys))})" if isinstance(keys, list | tuple) and keys else ""


def _forced(run: Run) -> str:
    """That the stop signal did not do."""
    killed = next((each for each in run.happenings if each.event == "container.killing"), None)
    return f", by force: {killed.fields.get('reason')}" if killed else ""


def _sender(run: Run) -> str:
    """An operator's `kill` of the same signal explains the death by it."""
    sent = [each.fields for each in run.happenings if each.event == "container.signalled"]
    who = next(
        (each.get("operator") for each in sent if run.end and each.get("signal") == run.end.signal), None
    )
    return (
        f", sent by an operator (uid {who.get('uid')}, pid {who.get('pid')})" if isinstance(who, dict) else ""
    )


def _limit(reading: Reading | None) -> str:
    return (
        "" if reading is None or reading.memory_max is None else f" (memory.max {size(reading.memory_max)})"
    )


def _failure(failure: dict[str, Any]) -> str:
    number = failure.get("errno")
    name = errno.errorcode.get(number, f"errno {number}") if isinstance(number, int) and number else ""
    hint = f"({failure['hint']})" if failure.get("hint") else ""
    return " ".join(str(part) for part in (failure.get("stage"), failure.get("path"), name, hint) if part)
