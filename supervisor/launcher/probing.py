"""Probes as the helper makes them: asked for, told of, and over when nothing is left of them.

An answer that nobody waits for any more is let go of, which ends the probe. What a probe's own connection says is
root's word, but for what a command or a service has said.
"""

import array
import os
import socket
from collections.abc import Awaitable, Callable, Iterable

import trio

from supervisor.errors import ProtocolError
from supervisor.helper.protocol import MAX, Report, Request, decode_report

Key = tuple[str, str]


class _Answer:
    def __init__(self, run: int) -> None:
        self.run = run
        self.heard = trio.Event()
        self.descriptor = -1
        self.ids = -1


class Probings:
    """By container and kind. `send` raises HelperError when the helper is gone."""

    def __init__(self, send: Callable[[Request], Awaitable[None]]) -> None:
        self._send = send
        self._asked: dict[Key, _Answer] = {}
        self._under_way: dict[Key, trio.Event] = {}

    async def probe(self, name: str, run: int, kind: str) -> str | None:
        """What is wrong, "" when all is well; None when that cannot be told, because it has ended or is ending.

        Raises HelperError. When it is cancelled the probe is ended.
        """
        answer = await self._ask(name, run, kind)
        if answer.descriptor < 0:
            return None
        with trio.socket.socket(fileno=answer.descriptor) as connection:
            try:
                data = await connection.recv(MAX)
                return verdict(decode_report(data)) if data else "the probe was killed"
            except (OSError, ProtocolError):
                return "the probe was killed"

    async def over(self, name: str, kind: str) -> None:
        """Until nothing is left of the one before."""
        event = self._under_way.get((name, kind))
        if event is not None:
            await event.wait()

    async def words(self, name: str, run: int) -> tuple[int, int] | None:
        """The socket that its sd_notify words come to, the caller's from now on, and the first of the user ids that
        they come from (-1: the host's); None when it has none. Raises HelperError.
        """
        answer = await self._ask(name, run, "notify")
        return (answer.descriptor, answer.ids) if answer.descriptor >= 0 else None

    async def _ask(self, name: str, run: int, kind: str) -> _Answer:
        answer = self._asked[name, kind] = _Answer(run)
        try:
            await self._send(Request("probe", name, run, kind=kind))
            await answer.heard.wait()
        except BaseException:
            if answer.descriptor >= 0:
                os.close(answer.descriptor)
            raise
        finally:
            if self._asked.get((name, kind)) is answer:
                del self._asked[name, kind]
        return answer

    # ── heard ──────────────────────────────────────────────────────────────────────────

    def hear(self, report: Report, extra: Iterable[tuple[int, int, bytes]]) -> bool:
        """Whether it was about a probe."""
        if report.what == "denied" and report.path.startswith("probe "):
            kind = report.path.split()[1].rstrip(":")
            self._answer((report.name, kind), report, -1)
        elif report.what == "probing":
            key = report.name, report.path
            if report.path != "notify":
                self._under_way[key] = trio.Event()
            self._answer(key, report, _descriptor(extra))
        elif report.what == "probed":
            event = self._under_way.pop((report.name, report.path), None)
            if event is not None:
                event.set()
        else:
            return False
        return True

    def _answer(self, key: Key, report: Report, descriptor: int) -> None:
        answer = self._asked.get(key)
        if answer is None or answer.run != report.run or answer.heard.is_set():
            if descriptor >= 0:
                os.close(descriptor)
            return
        answer.descriptor, answer.ids = descriptor, report.ids
        answer.heard.set()

    def lose(self) -> None:
        """The helper is gone, and tells nothing any more."""
        for answer in self._asked.values():
            answer.heard.set()
        while self._under_way:
            self._under_way.popitem()[1].set()


def _descriptor(extra: Iterable[tuple[int, int, bytes]]) -> int:
    sent = array.array("i")
    for _, kind, data in extra:
        if kind == socket.SCM_RIGHTS:
            sent.frombytes(data)
    return sent[0] if sent else -1


def verdict(report: Report) -> str:
    """What a probe's end says is wrong with the container, "" for nothing; pure."""
    if report.what == "refused":
        reason = os.strerror(report.errno) if report.errno else report.path
        return f"could not be made: {report.stage}: {report.path}: {reason}"
    said = f": {report.path}" if report.path else ""
    if report.stage == "network":
        return report.path
    if report.hint == "timeout":
        return f"the command had not ended in time{said}"
    if report.code > 0:
        return f"the command exited with {report.code}{said}"
    return f"the command was ended by signal {report.signal}{said}" if report.signal > 0 else ""
