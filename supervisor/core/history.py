"""What became of each run of a container, folded from the records of its machine and of monitoring.

Laws:
- record by record, fold() alone makes the history; so it can be made again from the records on disk.
- At most KEPT runs are kept, newest last, and of each at most NOTED things besides its start and end.
- A record about a run that is not known makes it known: a take-over begins in the middle.
- What nobody could tell stays None; nothing is guessed.

Times are seconds since the epoch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from supervisor.core.operator import Operator
from supervisor.core.readings import Reading

KEPT = 20
NOTED = 8
#: What follows a run is told by one of these.
FOLLOWS = frozenset({"container.backoff", "container.failed", "container.stopped"})


@dataclass(frozen=True, slots=True)
class Happening:
    """Something on the way; `times` it was told in a row, `at` the latest."""

    at: float
    event: str
    fields: dict[str, Any] = field(default_factory=dict)
    times: int = 1


@dataclass(frozen=True, slots=True)
class End:
    """`reason` as in container.exited, or "launch": it never began (`failure` says where: stage, errno, path, hint)."""

    reason: str
    code: int | None = None
    signal: int | None = None
    core: bool = False
    oom: bool = False
    uptime_s: float | None = None
    failure: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """`why` it was started, and who asked (`starter`); who asked for its end (`stopper`) by what means.

    `follow` is the record that told what comes after it, and `decision` the sentence that says why.
    """

    run: int
    why: str = ""
    starter: Operator | None = None
    asked_at: float | None = None
    started_at: float | None = None
    ready_at: float | None = None
    ended_at: float | None = None
    adopted: bool = False
    pid: int | None = None
    stopping: dict[str, Any] | None = None
    stopper: Operator | None = None
    end: End | None = None
    reading: Reading | None = None
    decision: str = ""
    follow: Happening | None = None
    happenings: tuple[Happening, ...] = ()


Runs = tuple[Run, ...]


def fold(
    runs: Runs,
    event: str,
    number: int,
    fields: Mapping[str, Any],
    at: float,
    *,
    operator: Operator | None = None,
    reading: Reading | None = None,
) -> Runs:
    """The history after one record about run `number`. `reading` is the run's last, where it ends here."""
    if number < 1:
        return runs
    last = bool(runs) and runs[-1].run == number  # as it is with nearly every record
    run = runs[-1] if last else next((each for each in runs if each.run == number), None)
    happening = Happening(at, event, dict(fields))
    if event == "container.starting":
        before = next((each for each in reversed(runs) if each.run < number), None)
        new: Run | None = _starting(run or Run(number), before, happening, operator)
    else:
        new = _told(run or Run(number), happening, operator, reading)
    if new is None:
        return runs
    if last:
        return (*runs[:-1], new)
    others = tuple(each for each in runs if each.run != number)
    return tuple(sorted((*others, new), key=lambda each: each.run))[-KEPT:]


def _told(run: Run, told: Happening, operator: Operator | None, reading: Reading | None) -> Run | None:
    at, event, fields = told.at, told.event, told.fields
    if event == "container.exited":
        return _ended(run, at, fields, reading)
    if does := DIRECT.get(event):
        return does(run, at, fields)
    if event == "container.stopping":
        return replace(run, stopping=fields, stopper=operator)
    if event in FOLLOWS and run.end is not None:
        stopper = operator if event == "container.stopped" and operator else run.stopper
        return replace(run, follow=told, stopper=stopper)
    if event.startswith(("container.", "health.", "memory.", "hook.")) or event == "cgroup.throttled":
        return _happened(run, told)
    return None


def _starting(run: Run, before: Run | None, told: Happening, operator: Operator | None) -> Run:
    """A restart that an operator asked for begins with the end of the run before."""
    again = before is not None and before.stopping is not None and before.stopping.get("then") == "restart"
    starter = operator or run.starter or (before.stopper if before is not None and again else None)
    why = str(told.fields.get("why", ""))
    return replace(run, why=why, asked_at=run.asked_at or told.at, starter=starter)


def _started(run: Run, at: float, fields: dict[str, Any]) -> Run:
    return replace(run, started_at=at, pid=fields.get("pid"))


def _adopted(run: Run, at: float, fields: dict[str, Any]) -> Run:
    return replace(run, adopted=True, started_at=run.started_at or at, pid=fields.get("pid"))


def _ready(run: Run, at: float, _fields: dict[str, Any]) -> Run:
    return replace(run, ready_at=at)


def _unlaunched(run: Run, at: float, fields: dict[str, Any]) -> Run:
    failure = {key: fields.get(key) for key in ("stage", "errno", "path", "hint")}
    decision = str(fields.get("decision", ""))
    return replace(run, ended_at=at, end=End("launch", failure=failure), decision=decision)


def _ended(run: Run, at: float, fields: dict[str, Any], reading: Reading | None) -> Run:
    end = End(
        str(fields.get("reason", "unknown")),
        fields.get("code"),
        fields.get("signal"),
        bool(fields.get("core")),
        bool(fields.get("oom")),
        fields.get("uptime_s"),
    )
    decision = str(fields.get("decision", ""))
    used = reading or _used(run.reading, fields)
    return replace(run, ended_at=at, end=end, decision=decision, reading=used)


def _used(reading: Reading | None, fields: dict[str, Any]) -> Reading | None:
    """What the record itself tells of CPU use; the rest came with the last reading, if there was one."""
    cpu = fields.get("cpu")
    if not isinstance(cpu, Mapping):
        return reading
    return replace(reading or Reading(), **{key: value for key, value in cpu.items() if key in CPU})


#: The keys of "cpu" in container.exited.
CPU = ("usage_usec", "nr_periods", "nr_throttled", "throttled_usec")


def _happened(run: Run, new: Happening) -> Run:
    past = run.happenings
    if past and past[-1].event == new.event:
        new = replace(new, times=past[-1].times + 1)
        past = past[:-1]
    return replace(run, happenings=(*past, new)[-NOTED:])


#: What is told of a run in one way only.
DIRECT: dict[str, Callable[[Run, float, dict[str, Any]], Run]] = {
    "container.started": _started,
    "container.adopted": _adopted,
    "container.ready": _ready,
    "container.launch_failed": _unlaunched,
}
