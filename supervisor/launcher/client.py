"""The unprivileged side of the helper's socket.

Requests are sent and forgotten; answers come back as reports, in order. Only `remove` waits for
its answer, because whoever asked for it relies on nothing being left. When the helper dies its
containers live on: their pidfds are here, so an end is still seen, and what the init shim
recorded says how it was.
"""

import array
import os
import signal
import socket
from collections.abc import Callable

import trio

from supervisor.errors import HelperError
from supervisor.helper.protocol import MAX, Report, Request, decode_report, encode_request

__all__ = ["Link", "Report"]

_ROOM_FOR_FD = socket.CMSG_SPACE(4)


class Link:
    """`run_dir` is the runtime directory's descriptor."""

    def __init__(self, helper: socket.socket, run_dir: int) -> None:
        helper.setblocking(False)
        self._socket = trio.socket.from_stdlib_socket(helper)
        self._run_dir = run_dir
        self._pidfds: dict[str, tuple[int, int]] = {}  # name → (run, pidfd) of what lives
        self._removals: dict[str, trio.Event] = {}
        self._lost = False

    @property
    def lost(self) -> bool:
        return self._lost

    def close(self) -> None:
        self._socket.close()
        for _, pidfd in self._pidfds.values():
            os.close(pidfd)
        self._pidfds = {}

    async def launch(self, name: str, run: int) -> None:
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

    async def _send(self, request: Request) -> None:
        try:
            await self._socket.send(encode_request(request))
        except OSError as error:
            self._lose()
            raise HelperError(f"the helper is gone ({error.strerror}); start the supervisor again") from None

    async def run(self, deliver: Callable[[Report], None]) -> None:
        """Deliver every report until the helper closes its end; then ends of runs, from their pidfds.

        A last Report("asked", path="helper-lost") says when that is.
        """
        while True:
            try:
                data, extra, _, _ = await self._socket.recvmsg(MAX, _ROOM_FOR_FD)
            except ConnectionError:
                data, extra = b"", []
            if not data:
                break
            report = decode_report(data)
            self._keep_pidfd(report, extra)
            self._answer(report)
            deliver(report)
        self._lose()
        deliver(Report("asked", path="helper-lost"))
        async with trio.open_nursery() as nursery:
            for name, (run, pidfd) in self._pidfds.items():
                nursery.start_soon(self._await_end, name, run, pidfd, deliver)

    def _lose(self) -> None:
        self._lost = True
        for event in self._removals.values():
            event.set()  # nobody is left to remove anything; the next start does

    def _keep_pidfd(self, report: Report, extra: list[tuple[int, int, bytes]]) -> None:
        sent = array.array("i")
        for _, _, data in extra:
            sent.frombytes(data)
        old = self._pidfds.pop(report.name, None) if report.what in ("started", "ended") else None
        if old:
            os.close(old[1])
        for descriptor in sent:
            self._pidfds[report.name] = (report.run, descriptor)

    def _answer(self, report: Report) -> None:
        denied_removal = report.what == "denied" and report.path.startswith("remove")
        if report.what == "removed" or denied_removal:
            event = self._removals.pop(report.name, None)
            if event is not None:
                event.set()

    async def _await_end(self, name: str, run: int, pidfd: int, deliver: Callable[[Report], None]) -> None:
        await trio.lowlevel.wait_readable(pidfd)
        code, number = self._recorded(name)
        deliver(Report("ended", name, run, code=code, signal=number))

    def _recorded(self, name: str) -> tuple[int, int]:
        try:
            file = os.open(f"containers/{name}/exit", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._run_dir)
        except OSError:
            return -1, signal.SIGKILL
        try:
            words = os.read(file, 64).split()
        finally:
            os.close(file)
        return (int(words[0]), int(words[1])) if len(words) == 2 else (-1, signal.SIGKILL)
