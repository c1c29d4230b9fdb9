"""One declared container as the helper sees it: its phase, its processes, its files.

    idle ─launch→ launching ─exec→ live ─PID 1 gone→ ending ─cgroup empty→ idle
                      └─a step failed→ ending

A run is over when its PID 1 has ended *and* its cgroup is empty; only then is it reported, so
whoever reads "ended" may rely on nothing being left. Its files are in RUNTIME_DIR/containers/NAME/:
those of helper.runfiles, and run (which run and which processes, for a helper that comes after us).
"""

import contextlib
import os
import select
import signal
import socket
import time

from supervisor.errors import KernelError
from supervisor.helper import midway, notes, policy
from supervisor.helper.birth import Birth
from supervisor.helper.declaration import Declaration
from supervisor.helper.launching import Plan
from supervisor.helper.place import Place
from supervisor.helper.protocol import IDS, Launch, Report
from supervisor.helper.refusals import UNHEARD, Failure, refusal
from supervisor.helper.runfiles import RunFiles
from supervisor.kernel import cgroup, namespaces, process
from supervisor.kernel.status import Status, waited

_NEVER = float("-inf")
_FRESH = 0.05  # seconds that what has been read back of a cgroup is relied upon


class Cell:
    def __init__(self, declaration: Declaration, place: Place) -> None:
        self.declaration, self.place = declaration, place
        self.next: Declaration | None = None  # declared while this run lived, for the one after it
        self.retired = self.orphaned = False  # not declared any more; and no daemon knows of it
        self.files = RunFiles(f"{place.containers}/{self.launch.name}", place.gid)
        self.phase, self.run = policy.IDLE, 0
        self.birth: Birth | None = None  # during a launch
        self.failure: Failure | None = None
        self.init = self.service = 0
        self.service_pidfd = self.init_pidfd = self.events = self.userns = -1
        self.began = self.launch_ms = 0.0
        self.foreseen = _NEVER  # when every limit was last found in force
        self.status = Status()
        self.killed = True  # whether its cgroup.kill may have been used; see cgroup.fork_into
        self.probing: dict[str, int] = {}  # kind → who probes it
        self.unenforced: Report | None = (
            None  # of a run that was taken over: why its limits are not those declared
        )
        self.last: Report | None = None  # repeated to a daemon that comes after the one it was told

    @property
    def launch(self) -> Launch:
        return self.declaration.launch

    @property
    def plan(self) -> Plan:
        return self.declaration.plan

    @property
    def leaf(self) -> cgroup.Leaf:
        return self.declaration.leaf

    # ── declared anew ──────────────────────────────────────────────────────────────────

    def redeclare(self, new: Declaration) -> Report | None:
        """As this from the next run on, and its limits from now on; the report is of those, if they changed.

        The cgroup may outlive the run, so a limit that is declared no more is taken back.
        """
        old = self.declaration
        new = new._replace(limits=cgroup.succeed(old.limits, new.limits))
        if self.phase == policy.IDLE:
            self._take_up(new)
            return None
        if not new.same_launch(old):
            self.next = new
            return None
        again, self.unenforced = self.unenforced is not None, None
        self.next, self.declaration = None, new
        same = (new.limits, str(new.unplaced)) == (old.limits, str(old.unplaced))
        return None if (same and not again) or self.phase == policy.ENDING else new.put_in_force(self.run)

    @property
    def removed(self) -> bool:
        """Nothing of it is there, or it never was."""
        return self.phase == policy.IDLE and not self.files.open

    def _take_up(self, new: Declaration) -> None:
        if self.userns >= 0 and new.launch.ids != self.launch.ids:
            process.close(self.userns)
            self.userns = -1
        self._forget_ahead()
        self.declaration, self.next = new, None

    # ── launching ──────────────────────────────────────────────────────────────────────

    def start(self, run: int) -> None:
        """Returns at once. Raises KernelError or OSError when something of it failed: something may have been born all the
        same, and must be ended.
        """
        if self.next:
            self._take_up(self.next)
        self.run, self.failure, self.status = run, None, Status()
        self.began = time.monotonic()
        if self.declaration.unplaced:
            raise self.declaration.unplaced
        if self.killed:
            cgroup.remove(self.leaf.unified)
            self.killed, self.foreseen = False, _NEVER
        if self.began - self.foreseen > _FRESH:
            cgroup.make(self.leaf, self.declaration.limits)
        self._open_files()
        self.files.begin()
        notes.begin(self.files.folder, run)
        if self.launch.ids >= 0 and self.userns < 0:
            self.userns = namespaces.make_user(self.launch.ids, IDS)
        begun = self.place.ahead.take(self.plan)
        self.birth = Birth(self.plan, self.place.known, begun, self._introduced)
        try:
            self._bear(self.birth.program, begun.theirs)
        finally:
            begun.theirs.close()
        self.phase = policy.LAUNCHING

    def foresee(self) -> None:
        """It has ended, and may be launched again at once: what that launch begins with is done already. What cannot be
        done its launch will tell.
        """
        if self.phase != policy.IDLE or self.removed or self.retired or self.next or self.killed:
            return
        if self.declaration.unplaced or self.place.scarce:
            return
        with contextlib.suppress(KernelError, OSError):
            cgroup.make(self.leaf, self.declaration.limits)
            self.foreseen = time.monotonic()
            self.place.ahead.make(self.plan)

    def _bear(self, program: int, report: socket.socket) -> None:
        files, missing = self.files, self.files.open["exit"]
        network = self.place.spare.take() if "net" in self.launch.namespaces else -1
        folder = os.open(self.leaf.unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        userns = self.userns if self.userns >= 0 else missing
        ready = network if network >= 0 else missing
        flags = namespaces.clone_flag(self.launch.namespaces)
        along = (files.open["exit"], program, report.fileno(), userns, ready, *files.outputs, folder)
        try:
            self.init = self.place.zygote.bear(flags, along)
            self.init_pidfd = os.pidfd_open(self.init)
        finally:
            process.close(network, folder)

    def _open_files(self) -> None:
        self.files.make()
        self.place.holder.hold(self.launch.name, self.files.outputs)
        # A word of an earlier run is not taken for one of this.
        if self.launch.notify:
            self.files.bind_notify()
        else:
            self.files.unbind_notify()

    def _introduced(self, pid: int, pidfd: int) -> None:
        """Whoever comes after us knows of the run before anybody is told. Raises OSError."""
        self.service, self.service_pidfd = pid, pidfd
        notes.write(self.files.folder, self.run, self.init, pid, pidfd)

    def launched(self) -> Report | None:
        """The launch has said all: the report of its success; on failure what is left of it is ended."""
        if self.birth:
            self.failure = self.failure or self.birth.failure
        self._delivered()
        if self.failure is None and self.service:
            self.launch_ms = (time.monotonic() - self.began) * 1000
            self.phase = policy.LIVE
            self._spare()
            return self.alive()
        self.failure = self.failure or UNHEARD
        self.killed = True
        self.end()
        return None

    def _spare(self) -> None:
        """Where descriptors are scarce, let go of those that can be had again."""
        if self.place.scarce:
            process.close(self.userns, self.service_pidfd)
            self.userns = self.service_pidfd = -1

    def _delivered(self) -> None:
        if self.birth:
            self.birth.close()
        self.birth = None
        self.files.begun()

    def alive(self, *, adopted: bool = False) -> Report:
        return Report(
            "started", self.launch.name, self.run, pid=self.service, launch_ms=round(self.launch_ms, 3),
            adopted=adopted, stale=self.next is not None, unified=self.leaf.unified, cpu=self.leaf.cpu,
        )  # fmt: skip

    def _forget_ahead(self) -> None:
        self.foreseen = _NEVER
        self.place.ahead.drop(self.plan)

    # ── ending ─────────────────────────────────────────────────────────────────────────

    def reaped(self, status: int) -> None:
        """PID 1 is gone. What the shim recorded is exact; without it, its own status is the service's."""
        self.init = 0
        self.status = waited(status)
        if self.phase == policy.LIVE:
            self.end()

    def vanished(self) -> None:
        """PID 1 of a run that another helper launched is gone: the shim can say how, or if that helper was this very
        process, the kernel.
        """
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(self.init, os.WNOHANG) if self.init else (0, 0)
            if pid:
                self.reaped(status)
                return
        self.init = 0
        self.status = Status(signal=signal.SIGKILL)
        self.end()

    def end(self) -> None:
        """`over` kills what is left, and says when it is gone."""
        self.phase = policy.ENDING

    def kill(self) -> None:
        self.killed = True
        cgroup.kill(self.leaf)

    def over(self) -> bool:
        """Raises OSError or KernelError when it cannot tell; it may be asked again."""
        try:
            if self.events < 0:
                self.events = os.open(f"{self.leaf.unified}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
            populated = cgroup.populated(self.events)
        except FileNotFoundError:
            populated = False
        if populated:
            self.kill()
        if self.init or populated:
            return False
        self.status = self.files.recorded() or self.status
        return True

    def finish(self) -> Report:
        """Nothing of the run is left: let go of it and say how it went."""
        process.close(self.events, self.init_pidfd, self.service_pidfd)
        self._delivered()
        self.events = self.init_pidfd = self.service_pidfd = -1
        self.service, self.phase, self.unenforced = 0, policy.IDLE, None
        if self.failure is not None:
            notes.remove(self.files.folder)
            self.last = refusal(self.launch.name, self.run, self.failure)
        else:
            self.last = Report(
                "ended", self.launch.name, self.run, unified=self.leaf.unified, cpu=self.leaf.cpu,
                **self.status._asdict(),
            )  # fmt: skip
        return self.last

    def signal(self, number: int) -> None:
        """One that had ended before its pidfd could be had is not signalled: its end is on the way."""
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            if self.service_pidfd >= 0:
                signal.pidfd_send_signal(self.service_pidfd, number)
            elif self.place.scarce:
                notes.signal_service(self.files.folder, cgroup.members(self.leaf), number)

    def remove(self) -> Report:
        """Take away cgroup and files; doing it again is fine."""
        report = Report("removed", self.launch.name)
        self.last = None
        self._forget_ahead()
        self.place.holder.let_go(self.launch.name)
        try:
            self.files.remove()
        except OSError as error:
            report = report._replace(errno=error.errno or 0, path=self.files.folder)
        for folder in self.leaf.folders:
            try:
                cgroup.remove(folder)
            except (KernelError, OSError) as error:
                report = report._replace(errno=error.errno or 0, path=folder)
        return report

    # ── for the helper that comes after ────────────────────────────────────────────────

    def adopt(self) -> bool:
        """Take over the run a crashed helper left, if any; False when there is none.

        A run that ended meanwhile is put into `ending`, to be reported like any other. One that was being launched
        and came to nothing is none: whoever asked for it asks again.
        """
        note = notes.read(self.files.folder)
        if note is None:
            return False
        self._open_files()
        if not note.init:
            found = midway.find_out(note.run, self.leaf, init=self.launch.init)
            if found is None and self.files.recorded() is None:
                notes.remove(self.files.folder)
                return False
            note = found or note
        self.run, self.phase = note.run, policy.LIVE
        members = cgroup.members(self.leaf)
        self.init_pidfd = notes.known(note.init, note.init_start, members)
        self.service_pidfd = notes.known(note.service, note.service_start, members)
        self.init, self.service = note.init, note.service
        if self.init_pidfd < 0:
            self.vanished()
        else:
            limits = self.declaration.put_all_in_force(self.run)
            self.unenforced = limits if limits.path else None
        self._spare()
        return True


#: What a cell waits for, while its cgroup is not empty.
EVENTS = select.POLLPRI | select.POLLERR
