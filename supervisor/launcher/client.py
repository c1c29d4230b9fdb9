"""The unprivileged side of the helper's socket.

Requests are sent and forgotten; answers come back as reports, in order. Only `remove` waits for
its answer, because whoever asked for it relies on nothing being left. When the helper dies its
containers live on: their pidfds are here, so an end is still seen, and what the init shim
recorded says how it was.
"""

import array
import errno
import json
import os
import signal
import socket
from collections.abc import Callable
from typing import NamedTuple

import trio

from supervisor.errors import ConfigError, HelperError, Problem
from supervisor.helper.protocol import MAX, Report, Request, decode_report, encode_request
from supervisor.kernel import cgroup, process
from supervisor.kernel.status import Status, recorded
from supervisor.launcher.hints import hint
from supervisor.launcher.probing import Probings
from supervisor.launcher.turnstile import Turnstile

__all__ = ["Link", "Read", "Report"]

_ROOM_FOR_FD = socket.CMSG_SPACE(4)
#: Seconds between two looks, without a helper, at a container whose pidfd is not kept.
LOOK = 1.0
#: So many reports are heard before the others have their turn.
TURN = 64


class Read(NamedTuple):
    """What came of reading root's files: `spec` is JSON, `limits` says of each container whose limits changed under
    its live run why they could not, "" when they are in force.
    """

    limits: dict[str, str]
    spec: bytes = b""
    problems: tuple[Problem, ...] = ()
    objection: str = ""


class Alive(NamedTuple):
    """A run, PID 1's pidfd (-1: not kept) and the v2 cgroup."""

    run: int
    pidfd: int
    unified: str


class Link:
    """`run_dir` is the runtime directory's descriptor; `keep`: there is room for the pidfd of each container's PID 1."""

    def __init__(self, helper: socket.socket, run_dir: int, *, keep: bool = True) -> None:
        helper.setblocking(False)
        self._helper = helper
        self._socket = trio.socket.from_stdlib_socket(helper)
        self._run_dir = run_dir
        self._keep = keep
        self._alive: dict[str, Alive] = {}
        self._removals: dict[str, trio.Event] = {}
        self._turnstile = Turnstile()
        self._reading = trio.Lock()
        # Where the helper is slower than we are the socket fills up, and trio lets one task wait for room in it.
        self._sending = trio.Lock()
        self.probings = Probings(self._send)
        self._files: trio.Event | None = None  # that root's files have been read, or not
        self._read = Read(limits={})
        self._lost = False

    @property
    def lost(self) -> bool:
        return self._lost

    def close(self) -> None:
        self._socket.close()
        for one in self._alive.values():
            process.close(one.pidfd)
        self._alive = {}

    def launch_now(self, name: str, run: int) -> bool:
        """Whether it could be asked for without waiting for anything."""
        if self._lost or self._sending.locked() or not self._turnstile.enter_now(name):
            return False
        try:
            self._helper.send(encode_request(Request("launch", name, run)))
        except OSError:  # no room, or nobody: whoever can wait finds out
            self._turnstile.leave(name)
            return False
        return True

    async def launch(self, name: str, run: int) -> None:
        """Once fewer than so many are under way."""
        await self._turnstile.enter(name)
        await self._send(Request("launch", name, run))

    async def signal(self, name: str, run: int, signal: int) -> None:
        await self._send(Request("signal", name, run, signal))

    async def kill(self, name: str, run: int) -> None:
        await self._send(Request("kill", name, run))

    async def remove(self, name: str) -> None:
        """Returns once the container's cgroup and FIFOs are gone."""
        answered = self._removals.setdefault(name, trio.Event())
        await self._send(Request("remove", name))
        await answered.wait()

    async def notify(self, state: str) -> None:
        await self._send(Request("notify", state=state))

    async def exit(self) -> None:
        await self._send(Request("exit"))

    async def reload(self, *, apply: bool) -> Read:
        """Have root's files read again, and with `apply` made what is declared. Raises ConfigError with what is
        wrong with them, HelperError when they could not be read at all; then nothing has changed.
        """
        async with self._reading:
            self._files, self._read = trio.Event(), Read(limits={})
            await self._send(Request("reload", apply=apply))
            await self._files.wait()
            if self._lost:
                raise HelperError("the helper is gone; start the supervisor again")
            if self._read.problems:
                raise ConfigError(self._read.problems)
            if self._read.objection:
                raise HelperError(self._read.objection)
            return self._read

    async def _send(self, request: Request) -> None:
        try:
            async with self._sending:
                await self._socket.send(encode_request(request))
        except OSError as error:
            self._lose()
            raise HelperError(f"the helper is gone ({error.strerror}); start the supervisor again") from None

    async def run(self, deliver: Callable[[Report], None]) -> None:
        """Deliver every report until the helper closes its end; then ends of runs, from their pidfds.

        A last Report("asked", path="helper-lost") says when that is.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._turnstile.mind)
            await self._hear(deliver)
            nursery.cancel_scope.cancel()
        self._lose()
        deliver(Report("asked", path="helper-lost"))
        async with trio.open_nursery() as nursery:
            for name, one in self._alive.items():
                nursery.start_soon(self._await_end, name, one, deliver)

    async def _hear(self, deliver: Callable[[Report], None]) -> None:
        """Until the helper closes its end. What has come is heard in one go, as long as others need not wait for it."""
        while True:
            await trio.lowlevel.wait_readable(self._helper)
            for _ in range(TURN):
                try:
                    data, extra, _, _ = self._helper.recvmsg(MAX, _ROOM_FOR_FD)
                except BlockingIOError:
                    break
                except ConnectionError:
                    return
                if not data:
                    return
                self._note(decode_report(data), extra, deliver)

    def _note(
        self, report: Report, extra: list[tuple[int, int, bytes]], deliver: Callable[[Report], None]
    ) -> None:
        if self.probings.hear(report, extra):
            return
        if report.what in ("read", "unread", "limits") or report.path.startswith("reload: "):
            self._note_files(report, extra)
        else:
            self._keep_pidfd(report, extra)
        self._answer(report)
        deliver(report)

    def _lose(self) -> None:
        self._lost = True
        self._turnstile.open()
        for event in self._removals.values():
            event.set()  # nobody is left to remove anything; the next start does
        self.probings.lose()
        if self._files is not None:
            self._files.set()

    def _note_files(self, report: Report, extra: list[tuple[int, int, bytes]]) -> None:
        content = b""
        for descriptor in _descriptors(extra):
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            os.close(descriptor)
        if report.what == "limits":
            self._read.limits[report.name] = objection(report)
            return
        if report.what == "read":
            self._read = self._read._replace(spec=content)
        elif content:
            problems = tuple(Problem(*one) for one in json.loads(content))
            self._read = self._read._replace(problems=problems)
        else:
            self._read = self._read._replace(objection=report.path)
        if self._files is not None:
            self._files.set()

    def _keep_pidfd(self, report: Report, extra: list[tuple[int, int, bytes]]) -> None:
        sent = _descriptors(extra)
        if report.what in ("started", "ended") and (old := self._alive.pop(report.name, None)):
            process.close(old.pidfd)
        for descriptor in sent:
            self._alive[report.name] = Alive(report.run, descriptor if self._keep else -1, report.unified)
            if not self._keep:
                os.close(descriptor)

    def _answer(self, report: Report) -> None:
        if report.what in ("started", "refused", "ended", "denied"):
            self._turnstile.leave(report.name)
        denied_removal = report.what == "denied" and report.path.startswith("remove")
        if report.what == "removed" or denied_removal:
            event = self._removals.pop(report.name, None)
            if event is not None:
                event.set()

    async def _await_end(self, name: str, one: Alive, deliver: Callable[[Report], None]) -> None:
        if one.pidfd >= 0:
            await trio.lowlevel.wait_readable(one.pidfd)
        else:  # looked at now and then: it is for the time until somebody starts the supervisor again
            while _populated(one.unified):  # noqa: ASYNC110 no event can be had without a descriptor
                await trio.sleep(LOOK)
        deliver(Report("ended", name, one.run, **self._recorded(name)._asdict()))

    def _recorded(self, name: str) -> Status:
        killed = Status(signal=signal.SIGKILL)
        try:
            file = os.open(f"containers/{name}/exit", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._run_dir)
        except OSError:
            return killed
        try:
            return recorded(os.read(file, 64)) or killed
        finally:
            os.close(file)


def _descriptors(extra: list[tuple[int, int, bytes]]) -> list[int]:
    sent = array.array("i")
    for _, _, data in extra:
        sent.frombytes(data)
    return list(sent)


def _populated(folder: str) -> bool:
    """Whether anything lives in a cgroup; False when that is gone, True when it cannot be told now."""
    try:
        return "populated 1" in cgroup.read(folder, "cgroup.events")
    except OSError as error:
        return error.errno not in (errno.ENOENT, errno.ENODEV)


def objection(report: Report) -> str:
    if not report.errno and not report.path:
        return ""
    why = hint("cgroup", report.errno, report.path, report.hint)
    return f"{report.path}: {os.strerror(report.errno)}" + (f" ({why})" if why else "")
