"""One declared container as the helper sees it: its phase, its processes, its files.

    idle ─launch→ launching ─exec→ live ─PID 1 gone→ ending ─cgroup empty→ idle
                      └─a step failed→ ending

A run is over when its PID 1 is reaped *and* its cgroup is empty; only then is it reported, so
whoever reads "ended" may rely on nothing being left. Files, in RUNTIME_DIR/containers/NAME/:
stdout and stderr (FIFOs, held open here so that output outlives every reader), exit (written by
the init shim), run (which run and which processes, for a helper that comes after us).
"""

import errno
import json
import os
import select
import signal
import socket
import struct
import time
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.helper import child, notes, policy
from supervisor.helper.protocol import Launch, Report
from supervisor.helper.steps import Steps
from supervisor.helper.workplace import Workplace
from supervisor.kernel import cgroup, namespaces, process

_CREDENTIALS = struct.Struct("3i")
_NO_STATUS = (-1, -1)
_UNHEARD: dict[str, object] = {"stage": "launch", "errno": 0, "path": "ended before exec", "call": ""}
#: What failed before there was a process → what an operator reads as its stage.
_STAGES = {"clone3": "fork", "user namespace": "user namespace"}
#: User and group ids that a container with a user namespace of its own has.
ID_COUNT = 65536


class Place(NamedTuple):
    """Where launches happen: the folders and accounts every container shares. `mountpoint` is an empty
    folder that each new root is mounted over, in its own mount namespace.
    """

    containers: str
    mountpoint: str
    gid: int
    rootless: bool


class Cell:
    def __init__(self, launch: Launch, steps: Steps, place: Place) -> None:
        self.launch, self.steps, self.place = launch, steps, place
        self.folder = f"{place.containers}/{launch.name}"
        self.leaf = cgroup.Leaf("", {})
        self.limits: tuple[tuple[str, str, str], ...] = ()
        self.unplaced: KernelError | None = None  # a limit no hierarchy here can hold
        self.phase, self.run = policy.IDLE, 0
        self.files: dict[str, int] = {}
        self.report: socket.socket | None = None
        self.failure: dict[str, object] | None = None
        self.init = self.service = 0
        self.service_pidfd = self.init_pidfd = self.events = self.userns = -1
        self.began = self.launch_ms = 0.0
        self.status = _NO_STATUS
        self.killed = True  # whether its cgroup.kill may have been used; see cgroup.fork_into
        self.last: Report | None = None  # repeated to a daemon that comes after the one it was told

    # ── launching ──────────────────────────────────────────────────────────────────────

    def start(self, run: int) -> None:
        """Fork; returns at once. Raises KernelError when the fork could not even be prepared."""
        self.run, self.failure, self.status = run, None, _NO_STATUS
        self.began = time.monotonic()
        if self.unplaced:
            raise self.unplaced
        if self.killed:
            cgroup.remove(self.leaf.unified)
            self.killed = False
        cgroup.make(self.leaf, self.limits)
        self.open_files()
        os.ftruncate(self.files["exit"], 0)
        if self.launch.ids >= 0 and self.userns < 0:
            self.userns = namespaces.make_user(self.launch.ids, ID_COUNT)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        # No handler of ours may run in the child; it takes back the default mask itself.
        before = process.block_signals()
        try:
            self.init, self.init_pidfd = cgroup.fork_into(
                self.leaf, namespaces.clone_flag(self.launch.namespaces)
            )
            if self.init == 0:
                self._become_child(theirs)
        finally:
            process.unblock_signals(before)
            theirs.close()
        self.report, self.phase = ours, policy.LAUNCHING

    def _become_child(self, report: socket.socket) -> None:
        try:
            fds = child.Descriptors(
                report.detach(), self.files["stdout-in"], self.files["stderr-in"], self.files["exit"]
            )
            work = Workplace(
                self.place.mountpoint, self.leaf,
                ids=self.launch.ids, userns=self.userns, rootless=self.place.rootless,
            )  # fmt: skip
            child.first(work, self.steps, fds, shim=self.launch.init)
        finally:
            os._exit(child.FAILED)

    def open_files(self) -> None:
        """Make and open what the run writes to; what is there already is kept with what it holds."""
        if self.files:
            return
        os.makedirs(self.folder, 0o710, exist_ok=True)
        os.chown(self.folder, -1, self.place.gid)
        for name in ("stdout", "stderr"):
            path = f"{self.folder}/{name}"
            if not os.path.exists(path):
                os.mkfifo(path, 0o600)
            self.files[name] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            os.fchown(self.files[name], -1, self.place.gid)
            os.fchmod(self.files[name], 0o640)
            # The container's own end: blocking, and read-write, so that with helper and daemon both
            # dead output waits in the pipe instead of ending the service by SIGPIPE.
            self.files[f"{name}-in"] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.files["exit"] = os.open(f"{self.folder}/exit", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        os.fchown(self.files["exit"], -1, self.place.gid)

    def read_report(self) -> bool:
        """Take what the launch says; True once it has said all (exec succeeded, or it failed)."""
        assert self.report
        while True:
            try:
                data, extra, _, _ = self.report.recvmsg(2048, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return False
            if not data:
                return True
            pid = _CREDENTIALS.unpack_from(extra[0][2])[0] if extra else 0
            if data == b"service":
                self.service, self.service_pidfd = pid, notes.pidfd(pid)
                # While it goes on: whoever comes after us knows of the run before anybody is told.
                notes.write(self.folder, self.run, self.init, pid)
            else:
                self.failure = json.loads(data)

    def launched(self) -> Report | None:
        """The launch has said all: the report of its success; on failure what is left of it is ended."""
        assert self.report
        self.report.close()
        self.report = None
        if self.failure is None and self.service:
            self.launch_ms = (time.monotonic() - self.began) * 1000
            self.phase = policy.LIVE
            return self.alive()
        self.failure = self.failure or _UNHEARD
        self.killed = True
        self.end()
        return None

    def alive(self, *, adopted: bool = False) -> Report:
        return Report(
            "started", self.launch.name, self.run, pid=self.service, launch_ms=round(self.launch_ms, 3),
            adopted=adopted, unified=self.leaf.unified, cpu=self.leaf.cpu,
        )  # fmt: skip

    # ── ending ─────────────────────────────────────────────────────────────────────────

    def reaped(self, status: int) -> None:
        """PID 1 is gone. What the shim recorded is exact; without it, its own status is the service's."""
        self.init = 0
        self.status = self._recorded() or (
            (-1, os.WTERMSIG(status)) if os.WIFSIGNALED(status) else (os.WEXITSTATUS(status), -1)
        )
        if self.phase == policy.LIVE:
            self.end()

    def vanished(self) -> None:
        """PID 1 of a run that another helper launched is gone: only the shim can say how."""
        self.init = 0
        self.status = self._recorded() or (-1, signal.SIGKILL)
        self.end()

    def _recorded(self) -> tuple[int, int] | None:
        words = os.pread(self.files["exit"], 64, 0).split() if "exit" in self.files else []
        return (int(words[0]), int(words[1])) if len(words) == 2 else None

    def end(self) -> None:
        """Kill what is left, if anything is; `over` says when it is gone."""
        self.phase = policy.ENDING
        self.events = os.open(f"{self.leaf.unified}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        if cgroup.populated(self.events):
            self.kill()

    def kill(self) -> None:
        self.killed = True
        cgroup.kill(self.leaf)

    def over(self) -> bool:
        return not self.init and not cgroup.populated(self.events)

    def finish(self) -> Report:
        """Nothing of the run is left: let go of it and say how it went."""
        for descriptor in (self.events, self.init_pidfd, self.service_pidfd):
            if descriptor >= 0:
                os.close(descriptor)
        self.events = self.init_pidfd = self.service_pidfd = -1
        self.service, self.phase = 0, policy.IDLE
        if self.failure is not None:
            notes.remove(self.folder)
            self.last = refusal(self.launch.name, self.run, self.failure)
        else:
            code, number = self.status
            self.last = Report(
                "ended", self.launch.name, self.run, code=code, signal=number,
                unified=self.leaf.unified, cpu=self.leaf.cpu,
            )  # fmt: skip
        return self.last

    def signal(self, number: int) -> None:
        try:
            signal.pidfd_send_signal(self.service_pidfd, number)
        except ProcessLookupError:
            return  # it ended meanwhile; its end is on the way

    def remove(self) -> Report:
        """Take away cgroup and files; doing it again is fine."""
        report = Report("removed", self.launch.name)
        for descriptor in self.files.values():
            os.close(descriptor)
        self.files = {}
        self.last = None
        for name in ("stdout", "stderr", "exit", "run"):
            try:
                os.unlink(f"{self.folder}/{name}")
            except FileNotFoundError:
                continue
        try:
            os.rmdir(self.folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):  # a stranger's file is left alone
                report = report._replace(errno=error.errno or 0, path=self.folder)
        for folder in self.leaf.folders:
            try:
                cgroup.remove(folder)
            except KernelError as error:
                report = report._replace(errno=error.errno, path=folder)
        return report

    # ── for the helper that comes after ────────────────────────────────────────────────

    def adopt(self) -> bool:
        """Take over the run a crashed helper left, if any; False when there is none.

        A PID is believed only with the start time noted beside it. A run that ended meanwhile is
        put into `ending`, to be reported like any other.
        """
        note = notes.read(self.folder)
        if note is None:
            return False
        self.open_files()
        self.run, self.phase = note.run, policy.LIVE
        if notes.start_time(note.init) == note.init_start:
            self.init, self.init_pidfd = note.init, notes.pidfd(note.init)
            self.service, self.service_pidfd = note.service, notes.pidfd(note.service)
        if self.service_pidfd < 0 or notes.start_time(note.service) != note.service_start:
            if self.init_pidfd >= 0:
                signal.pidfd_send_signal(self.init_pidfd, signal.SIGKILL)
            if os.path.isdir(self.leaf.unified):
                self.vanished()
            else:
                self.status = self._recorded() or (-1, signal.SIGKILL)
                self.finish()
        return True


def refusal(name: str, run: int, failure: dict[str, object]) -> Report:
    """A launch's own account of its failure, as a report; its words are bounded, its types checked."""
    number = failure.get("errno")
    return Report(
        "refused", name, run, stage=str(failure.get("stage"))[:64], errno=number if isinstance(number, int) else 0,
        path=str(failure.get("path"))[:1024], hint=str(failure.get("call"))[:64],
    )  # fmt: skip


def failure_of(error: KernelError | OSError) -> dict[str, object]:
    """As a launch's own process reports one: what could not even be prepared."""
    if not isinstance(error, KernelError):
        return {"stage": "fork", "errno": error.errno, "path": str(error.filename or ""), "call": ""}
    stage = _STAGES.get(error.call, "cgroup")
    return {"stage": stage, "errno": error.errno, "path": error.path, "call": error.call}


#: What a cell waits for, by phase: its report socket, or its cgroup being empty.
EVENTS = select.POLLPRI | select.POLLERR
