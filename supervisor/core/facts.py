"""What happened to a run, as a machine that knows it and the Record that tells it."""

import errno

from supervisor.core.events import Exited, Json, Launched, LaunchFailed, Record, Vanished
from supervisor.core.machine import Exit, Machine, Moment, Reason

#: These do not mend themselves, so trying again would only hide them. By stage: the program is not
#: there, may not be run, or is none; the account or working directory is not in the root directory;
#: a right that the supervisor lacks; a limit that this host cannot hold or did not take.
HOPELESS = {
    "exec": frozenset({errno.ENOENT, errno.EACCES, errno.ENOEXEC}),
    "user": frozenset({errno.ENOENT, errno.EPERM}),
    "workdir": frozenset({errno.ENOENT, errno.EACCES, errno.ENOTDIR}),
    "rlimits": frozenset({errno.EPERM, errno.EINVAL}),
    "capabilities": frozenset({errno.EPERM}),
    "cgroup": frozenset({errno.EOPNOTSUPP, errno.ERANGE, errno.EINVAL, errno.EACCES}),
}

#: Who has a run ended, as the reason of its end.
ASKERS: dict[str, Reason] = {
    "supervisor": "supervisor",
    "configuration": "configuration",
    "schedule": "schedule",
    "dependency": "dependency",
    "group": "group",
    "health": "health",
    "readiness": "readiness",
    "watchdog": "watchdog",
}


def record(machine: Machine, level: str, event: str, **fields: Json) -> Record:
    return Record(level, event, machine.run, tuple(fields.items()))


def started(machine: Machine, event: Launched) -> Record:
    if event.adopted:
        return record(machine, "info", "container.adopted", pid=event.pid)
    return record(machine, "info", "container.started", pid=event.pid, launch_ms=event.launch_ms)


def told(
    machine: Machine, event: LaunchFailed | Exited | Vanished, at: Moment, decision: str
) -> tuple[Machine, Record]:
    """The end of a run: the machine with nothing alive any more, and its record."""
    new = machine._replace(due=None, pid=None, started_at=None, ready=False, healthy=None, failing=0)
    if isinstance(event, LaunchFailed):
        fields: dict[str, Json] = {"stage": event.stage, "errno": event.errno, "path": event.path}
        level = "info" if machine.state == "stopping" else "error"
        return new, record(
            new, level, "container.launch_failed", **fields, hint=event.hint, decision=decision
        )
    exited = event if isinstance(event, Exited) else Exited(event.run)
    last = Exit(exited.code, exited.signal, exited.oom, _reason(machine, exited))
    fields = {
        "code": last.code,
        "signal": last.signal,
        "core": exited.core,
        "oom": last.oom,
        "reason": last.reason,
    }
    fields |= {"uptime_s": round(uptime(machine, at), 6), "cpu": dict(exited.cpu), "decision": decision}
    asked = last.reason in {"operator", "configuration", "schedule", "supervisor", "dependency", "group"}
    ended_well = last.code == 0 and last.reason not in ASKERS
    level = "info" if asked or ended_well else "warning"
    return new._replace(last=last), record(new, level, "container.exited", **fields)


def _reason(machine: Machine, event: Exited) -> Reason:
    if machine.state == "stopping":
        return ASKERS.get(machine.by, "operator")
    if event.oom:
        return "oom"
    if event.signal is not None:
        return "signal"
    return "unknown" if event.code is None else "exit"


def uptime(machine: Machine, at: Moment) -> float:
    return 0.0 if machine.started_at is None else max(0.0, at.now - machine.started_at)


def stage(event: LaunchFailed) -> str:
    name = errno.errorcode.get(event.errno, f"errno {event.errno}") if event.errno else ""
    return " ".join(
        part for part in (event.stage, event.path, name, event.hint and f"({event.hint})") if part
    )


def hopeless(event: LaunchFailed) -> bool:
    return event.stage == "refused" or event.errno in HOPELESS.get(event.stage, ())
