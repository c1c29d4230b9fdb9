"""One run's sd_notify(3) socket: what it says, and whether it says often enough that it is alive.

Laws:
- Only a process of the container is heard (senders.py); of others it is told once a run.
- Nobody is thought silent while words of it wait to be read.
- Who says too much is heard later: its own writes wait, nobody else does.
"""

import math
import os
import socket
import struct
from collections.abc import Callable

import trio

from supervisor.core.readings import Cgroup
from supervisor.probes.ports import Told
from supervisor.probes.senders import belongs, outside
from supervisor.probes.words import LONGEST, Words, understand

_CREDENTIALS = struct.Struct("3i")
#: For a sender's credentials alone: descriptors that come along are closed by the kernel, which is what BARRIER=1 waits for.
_ROOM = socket.CMSG_SPACE(_CREDENTIALS.size)
#: PID, user id, name of the container, its first user id: whether that is one of its processes.
Belongs = Callable[[int, int, str, int], bool]
_BATCH, _REST = 64, 0.1  # so many words, then a rest of so many seconds


class Listener:
    """`watchdog` are the seconds within which WATCHDOG=1 has to come, once it `is_ready`; `stopping` is called when it says
    that it ends, with the seconds that it asks for.
    """

    def __init__(
        self,
        name: str,
        run: int,
        cgroup: Cgroup | None,
        told: Told,
        watchdog: float | None,
        *,
        is_ready: Callable[[], bool],
        stopping: Callable[[float], None],
        belongs: Belongs = belongs,
    ) -> None:
        self._name, self._run, self._cgroup, self._told = name, run, cgroup, told
        self._is_ready, self._stopping, self._belongs = is_ready, stopping, belongs
        self._watchdog = watchdog
        self._fed: float | None = None  # when it was last heard of, or became ready; None: not watched
        self._ids = -1
        self._strangers = self._is_stopping = False

    async def listen(self, words: int, ids: int) -> None:
        """Until cancelled; the descriptor `words` is ours."""
        self._ids = ids
        try:
            while True:
                deadline = self._deadline()
                with trio.move_on_at(deadline):
                    await trio.lowlevel.wait_readable(words)
                if self._take(words):
                    await trio.sleep(_REST)
                elif trio.current_time() >= self._deadline() and self._watchdog:
                    self._miss(self._watchdog)
        finally:
            os.close(words)

    def look(self) -> None:
        """It has become ready: from now on it is watched."""
        if self._fed is None:
            self._fed = trio.current_time()

    def rest(self, seconds: float) -> None:
        """It need not say anything for so long, and then as often as ever."""
        if self._fed is not None:
            self._fed = max(self._fed, trio.current_time() + seconds)

    def end_watch(self) -> None:
        """Its end is under way, and takes the time that it takes."""
        self._watchdog = None

    def _deadline(self) -> float:
        if self._is_ready():
            self.look()
        if self._watchdog is None or self._fed is None:
            return math.inf
        return self._fed + self._watchdog

    def _miss(self, seconds: float) -> None:
        self._watchdog = None
        self._told.missed(self._name, self._run, seconds)

    def _take(self, words: int) -> bool:
        """What waits; True when there may be more of it."""
        with socket.socket(fileno=os.dup(words)) as heard:
            for _ in range(_BATCH):
                try:
                    data, extra, _, _ = heard.recvmsg(LONGEST, _ROOM)
                except BlockingIOError:
                    return False
                self._hear(data, extra)
        return True

    def _hear(self, data: bytes, extra: list[tuple[int, int, bytes]]) -> None:
        pid = uid = 0
        for _, kind, sent in extra:
            if kind == socket.SCM_CREDENTIALS:
                pid, uid, _ = _CREDENTIALS.unpack(sent)
        if self._belongs(pid, uid, self._name, self._ids):
            self._obey(understand(data))
        elif not self._strangers:
            self._strangers = True
            self._told.refused(self._name, self._run, pid, uid)

    def _obey(self, words: Words) -> None:
        told, name, run = self._told, self._name, self._run
        if words.watchdog is not None and self._watchdog is not None:
            self._watchdog = words.watchdog
        if words.alive or words.watchdog is not None:
            self.rest(0.0)
        if words.status is not None:
            told.status(name, run, words.status)
        if words.main is not None and self._cgroup is not None:
            found = outside(self._cgroup.unified, words.main)
            if found is not None:
                told.main(name, run, found)
        if words.ready:
            told.ready(name, run)
        if words.stopping or (words.extend is not None and self._is_stopping):
            self._is_stopping = True
            self._stopping(words.extend or 0.0)
        if words.extend is not None:
            told.extended(name, run, words.extend)
        if words.failing and self._watchdog is not None:
            self._miss(0.0)
