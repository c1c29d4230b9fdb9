"""What the helper and the probes tell, in the words of supervision."""

from collections.abc import Callable

from supervisor.core.readings import Cgroup
from supervisor.launcher.client import Report
from supervisor.launcher.hints import hint
from supervisor.probes.ports import Told
from supervisor.supervise.ports import (
    BecameReady,
    Ended,
    Extended,
    Journal,
    MainTold,
    Message,
    NotStarted,
    Probed,
    Started,
    StatusTold,
    Unready,
    WatchdogMissed,
)


def of(report: Report) -> Message:
    cgroup = Cgroup(report.unified, report.cpu)
    if report.what == "started":
        return Started(report.name, report.run, report.pid, report.launch_ms, cgroup, report.adopted)
    if report.what == "refused":
        why = hint(report.stage, report.errno, report.path, report.hint)
        return NotStarted(report.name, report.run, report.stage, report.errno, report.path, why)
    code, signal = (number if number >= 0 else None for number in (report.code, report.signal))
    return Ended(report.name, report.run, code, signal, report.core, cgroup if report.unified else None)


def told(deliver: Callable[[Message], None], journal: Journal) -> Told:
    """What probes find out, delivered."""

    def refused(name: str, run: int, pid: int, uid: int) -> None:
        journal.record("warning", "notify.refused", name, run, pid=pid, uid=uid)

    return Told(
        ready=lambda *fields: deliver(BecameReady(*fields)),
        unready=lambda *fields: deliver(Unready(*fields)),
        probed=lambda *fields: deliver(Probed(*fields)),
        missed=lambda *fields: deliver(WatchdogMissed(*fields)),
        extended=lambda *fields: deliver(Extended(*fields)),
        status=lambda *fields: deliver(StatusTold(*fields)),
        main=lambda *fields: deliver(MainTold(*fields)),
        refused=refused,
    )
