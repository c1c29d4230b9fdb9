"""The unprivileged half: composition root, and the only file that knows every room.

    python -I -m supervisor.daemon HELPER SPEC READY

Started by the helper as root: it imports everything, opens its folders and its socket, then drops
to its account for good. After that nothing is imported or opened by an absolute path, because the
program may lie where only root can enter.
"""

import gc
import os
import socket
import sys
import traceback
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

import msgspec
import trio

from supervisor import __version__, messages
from supervisor.api import handlers, reading, server
from supervisor.api.operators import Operators, Peer
from supervisor.api.schema import Info
from supervisor.core.events import Json
from supervisor.core.operator import Operator
from supervisor.core.spec import Configuration, Container, Output
from supervisor.errors import HelperError
from supervisor.kernel import descriptors, libc, process
from supervisor.launcher import watchdog
from supervisor.launcher.account import drop_to
from supervisor.launcher.client import Link, Report, objection
from supervisor.logs.archive import Archive
from supervisor.logs.capture import Capture
from supervisor.logs.journal import Journal, open_journal
from supervisor.logs.segments import SUPERVISOR
from supervisor.logs.upkeep import Upkeep
from supervisor.monitor.kernel import CgroupMonitor
from supervisor.probes.probes import Probes
from supervisor.ship import carriers
from supervisor.ship.folders import Folders
from supervisor.ship.sinks import Sinks
from supervisor.supervise import cron, redeclare
from supervisor.supervise.declared import DECLARED, Declared
from supervisor.supervise.farewell import farewell
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.hooks import Hooks
from supervisor.supervise.ledger import Ledger, get, put
from supervisor.supervise.ports import Ended, Message
from supervisor.supervise.reload import Reload

#: A hook is told of so many runs, the newest.
RUNS_TOLD = 5


class Opened(NamedTuple):
    """What was opened as root, to be used without it."""

    logs: int
    run: int
    ledger: int
    api: socket.socket
    operators: Operators
    helper: socket.socket
    ready: int
    root: int  # the helper's PID


def main() -> int:
    helper, spec, ready = map(int, sys.argv[1:4])
    with os.fdopen(spec, "rb", closefd=False) as file:
        configuration = msgspec.json.decode(file.read(), type=Configuration)
    for descriptor in (helper, spec, ready):
        if descriptor >= 0:
            os.set_inheritable(descriptor, False)
    process.open_more_files()
    opened = _open(configuration, helper, ready)
    cron.read_zones(configuration.containers)
    drop_to(configuration.settings.user)
    gc.freeze()  # what is imported stays: looking through it again would be a pause of tens of milliseconds
    try:
        trio.run(_Daemon(configuration, opened).run)
    except Exception:  # noqa: BLE001  # the last boundary: said once on stderr, and the helper starts another
        traceback.print_exc()
        return 1
    return 0


def _open(configuration: Configuration, helper: int, ready: int) -> Opened:
    settings = configuration.settings
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    run = os.open(settings.runtime_dir, folder)
    operators = Operators.here(settings.group)
    return Opened(
        logs=os.open(settings.logs.dir, folder),
        run=run,
        ledger=os.open("daemon", folder | os.O_NOFOLLOW, dir_fd=run),
        api=server.bind(settings.runtime_dir, operators.mode, operators.gid),
        operators=operators,
        helper=(link := socket.socket(fileno=helper)),
        ready=ready,
        root=_maker(link),
    )


def _maker(link: socket.socket) -> int:
    """Whose half of the pair the other is, also when it is dead by now and our parent another (SO_PEERCRED, unix(7))."""
    return int.from_bytes(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)[:4], sys.byteorder)


class _Daemon:
    def __init__(self, configuration: Configuration, opened: Opened) -> None:
        settings = configuration.settings
        self.configuration = configuration
        self.opened = opened
        self.archive = Archive(opened.logs, open_files=descriptors.for_logs(descriptors.limit()))
        self.journal: Journal = open_journal(self.archive.store(SUPERVISOR), sys.stdout)
        self.specs: dict[str, Container] = {one.name: one for one in configuration.containers}
        self.capture = Capture(self.archive, opened.run, self._output, self.journal, libc.tee)
        self.upkeep = Upkeep(
            self.archive, settings.logs, self.specs.keys, self.journal,
            settle=self.capture.recover, number=self.capture.number, die_with=process.die_with,
            unwritten=lambda: self.journal.waits,
        )  # fmt: skip
        self.records = reading.LogFolder(
            opened.logs, self.specs.keys, self.archive.subscribe, self._unreadable
        )
        logs = Folders(opened.logs, lambda: self.specs, self.archive.subscribe)
        self.sinks = Sinks(dict(settings.ship), logs, self.journal.record, self._report, carriers.make)
        self.link: Link
        self.monitor: CgroupMonitor
        self.fleet: Fleet
        self.hooks: Hooks
        self.reload: Reload
        self.info: Info
        self.nursery: trio.Nursery
        self.ledger: Ledger
        self.stale: list[str] = []  # live, and declared anew while nobody was there to restart them
        self.told = trio.Event()
        self.stop = trio.Event()
        self.closing = trio.Event()
        self.adopted: dict[str, int] = {}  # what lived before this half did, and which run it is

    async def run(self) -> None:
        scarce = descriptors.scarce(len(self.specs), descriptors.limit())
        self.link = Link(self.opened.helper, self.opened.run, keep=not scarce)
        self.hooks = Hooks(
            self.journal, self._spec, self._why, self._observed,
            before_exec=partial(process.die_with, os.getpid()),
        )  # fmt: skip
        self.monitor = CgroupMonitor(self._observed, self.configuration.settings.monitor, keep=not scarce)
        logs = self.configuration.settings.logs.dir
        self.ledger = Ledger(self.opened.ledger, lambda: datetime.now(UTC).timestamp(), logs)
        probes = Probes(
            self.link.probings, self.capture, messages.told(self._deliver, self.journal), self._report
        )
        self.fleet = Fleet(
            self.configuration, self.link, self.capture, self.monitor, self.hooks, self.ledger,
            log=self.journal, probes=probes,
        )  # fmt: skip
        self.fleet.groups.escalate = lambda _why: self.stop.set()
        self.reload = Reload(
            Declared(self.configuration, self._keep), self.fleet, self.link, self.journal,
            decode=lambda data: msgspec.json.decode(data, type=Configuration), take_up=self._take_up,
        )  # fmt: skip
        self.capture.recover()
        async with trio.open_nursery() as nursery:
            self.nursery = nursery
            await nursery.start(self.hooks.run)
            await nursery.start(probes.run)
            await nursery.start(self.fleet.run)
            nursery.start_soon(self.capture.run)
            nursery.start_soon(self.sinks.run)
            nursery.start_soon(self.upkeep.run)
            nursery.start_soon(self.monitor.run)
            nursery.start_soon(self.link.run, self._heard)
            await self.told.wait()
            self._record_start()
            self._take_over()
            await nursery.start(self._serve)
            if not self.stop.is_set():
                await self.fleet.boot()
            nursery.start_soon(redeclare.renew_each, self.fleet, self.journal, self.stale)
            nursery.start_soon(self.reload.run)
            nursery.start_soon(self._announce)
            nursery.start_soon(watchdog.feed, self.link)
            await self.stop.wait()
            await self._end()
            nursery.cancel_scope.cancel()

    def _record_start(self) -> None:
        self.journal.record(
            "info", "supervisor.started", version=__version__, pid=self.opened.root,
            containers=len(self.specs), runtime_dir=self.configuration.settings.runtime_dir,
        )  # fmt: skip
        if self.adopted:
            self.journal.record("info", "supervisor.adopted", containers=len(self.adopted))
        for note in self.configuration.notes:
            self.journal.record("warning", "supervisor.note", text=note)

    def _take_over(self) -> None:
        kept = None
        try:
            kept = get(self.opened.ledger, DECLARED)
        except OSError as error:
            self._trouble("reading what was declared", error)
        self.reload.take_over(kept, self.adopted)

    def _keep(self, declared: bytes) -> None:
        try:
            put(self.opened.ledger, DECLARED, declared)
        except OSError as error:
            self._trouble("keeping what is declared", error)

    def _trouble(self, doing: str, error: OSError) -> None:
        self.journal.record("error", "supervisor.trouble", doing=doing, error=str(error))

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        settings = self.configuration.settings
        self.info = Info(
            version=__version__, runtime_dir=settings.runtime_dir, log_dir=settings.logs.dir, pid=self.opened.root,
            started_at=datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            log_id="{0.st_dev}:{0.st_ino}".format(os.fstat(self.archive.log_dir)),
        )  # fmt: skip
        api = handlers.Api(
            self.fleet, self.records, self.reload, self.info, self._stop_asked, self.closing, self._report,
            self.sinks.status,
        )  # fmt: skip
        await server.serve(
            handlers.application(api),
            self.opened.api,
            server.Door(self.opened.operators, refused=self._refused),
            self.closing,
            report=self._report,
            task_status=task_status,
        )

    def _take_up(self, configuration: Configuration) -> None:
        """What root's files say now, beside the containers' own tasks."""
        self.configuration, settings = configuration, configuration.settings
        self.specs.clear()
        self.specs.update((one.name, one) for one in configuration.containers)
        self.monitor.configure(settings.monitor)
        self.sinks.configure(dict(settings.ship))
        self.upkeep.configure(settings.logs)

    def _stop_asked(self, by: Operator) -> None:
        self.fleet.stop_asked(by)
        self.stop.set()

    def _refused(self, operator: Operator) -> None:
        self.journal.record("warning", "operator.refused", operator=operator._asdict())

    def _report(self, error: BaseException) -> None:
        self.journal.record("error", "supervisor.bug", error="".join(traceback.format_exception(error)))

    async def _announce(self) -> None:
        """Once everything is started: tell the service manager, and whoever waits for --detach."""
        failed = await self.fleet.settled()
        await self.link.notify("READY=1")
        if self.opened.ready >= 0:
            with suppress(OSError):  # whoever waited was ended meanwhile
                os.write(self.opened.ready, msgspec.json.encode(failed))
            process.close(self.opened.ready)
            process.let_go_of_stderr()

    async def _end(self) -> None:
        """Every container stopped, then the helper: which leaves nothing behind."""
        self.journal.record("info", "supervisor.stopping")
        try:
            await self.link.notify("STOPPING=1")
            await self.fleet.shutdown()
            self.closing.set()
            await self.link.exit()
        except HelperError as error:
            self._report(error)

    def _observed(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Json
    ) -> None:
        """What monitoring and hooks record is part of the container's history too."""
        if container is not None and run is not None:
            self.fleet.observed(event, container, run, fields)
        self.hooks.record(level, event, container, run, **fields)

    def _output(self, name: str) -> Output:
        spec = self.specs.get(name)
        return spec.output if spec else Output()

    def _deliver(self, message: Message) -> None:
        self.fleet.deliver(message)

    def _spec(self, name: str) -> Container | None:
        return self.specs.get(name)

    def _why(self, name: str) -> dict[str, Any]:
        return handlers.told(self.fleet, self.records, name, RUNS_TOLD)

    def _unreadable(self, file: str, wrong: str) -> None:
        name = file.partition("/")[0]
        self.journal.record(
            "error", "logs.unreadable", None if name == SUPERVISOR else name, file=file, error=wrong
        )

    # ── what the helper says ───────────────────────────────────────────────────────────

    def _heard(self, report: Report) -> None:
        if report.what == "told":
            self.told.set()
        elif report.what == "asked":
            self._asked(report.path)
        elif report.what == "denied":
            self.journal.record(
                "warning", "launcher.denied", report.name or None, report.run or None, why=report.path
            )
        elif report.what in ("read", "unread", "limits"):
            self._read(report)
        elif report.what == "removed":
            if report.errno:
                self.journal.record(
                    "error", "launcher.not_removed", report.name, errno=report.errno, path=report.path
                )
        elif report.what == "visited":
            # The helper hears its own user only, whom it calls 0.
            operator = self.opened.operators.operator(Peer(0, report.pid, frozenset()))
            self.journal.record(
                "info", "operator.exec", report.name, report.run,
                operator=operator._asdict(), command=report.path,
            )  # fmt: skip
        else:
            if report.adopted:
                self.adopted[report.name] = report.run
            self.stale += [report.name] if report.stale else []
            message = messages.of(report)
            if isinstance(message, Ended) and message.name not in self.fleet.keepers:
                self.nursery.start_soon(
                    farewell, message, self.capture, self.link, self.journal, self.journal, self.ledger
                )
            else:
                self.fleet.deliver(message)

    def _read(self, report: Report) -> None:
        """The link knows who waits for it; but nobody does for limits of what is taken over."""
        if report.what == "limits" and not self.told.is_set():
            self.journal.record(
                "error", "container.limits_failed", report.name, report.run, error=objection(report)
            )

    def _asked(self, what: str) -> None:
        if what == "stop":
            self.stop.set()
        elif what == "stop-now":
            self.stop.set()
            trio.lowlevel.spawn_system_task(partial(self.fleet.shutdown, now=True))
        elif what == "helper-lost":
            if not self.closing.is_set():
                self.info.helper = False
                self.journal.record(
                    "error", "supervisor.helper_lost",
                    hint="containers and their logs go on; start the supervisor again to control them",
                )  # fmt: skip
        else:
            self.reload.hear()


if __name__ == "__main__":
    sys.exit(main())
