"""Output of all containers, from their FIFOs into their stores: one trio task.

Laws:
* What one turn of a stream does is `intake`'s; here is whose turn it is.
* Fair: ready streams take turns, one chunk (at most what a pipe holds) a turn, other tasks in between.
* When records cannot be written, for whatever reason, output waits in the FIFO (and the service in its
  write), or is dropped, as `output.on_full` says; retried every second. `logs.paused` is recorded once, when
  the first stream cannot be written, `logs.resumed` once, when the last one can again.

FIFOs are watched edge-triggered in an epoll of their own, whose descriptor trio waits for: a
line that is not finished yet makes no noise, and five thousand streams cost one registration. What an edge
does not tell, `held` does.
"""

import os
import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import trio

from supervisor.core import spec
from supervisor.logs import numbers, records
from supervisor.logs.archive import Archive
from supervisor.logs.fifo import Fifo, Tee
from supervisor.logs.held import Held
from supervisor.logs.intake import Intake
from supervisor.logs.recorder import Recorder

RETRY = 1.0
#: Streams tried at each retry; if one succeeds, all are.
PROBES = 16


class Capture:
    """Implements `supervise.ports.Output`. `run` reads; `recover` comes before the first `attach`."""

    def __init__(
        self,
        archive: Archive,
        run_dir: int,
        configure: Callable[[str], spec.Output],
        journal: Recorder,
        tee: Tee,
    ) -> None:
        self._archive = archive
        self._run_dir = run_dir
        self._journal = journal
        self._intake = Intake(archive, run_dir, configure, tee, clock=trio.current_time, hear=self._tell)
        self._epoll = select.epoll()
        self._fifos: dict[str, tuple[Fifo, ...]] = {}
        self._by_fd: dict[int, Fifo] = {}
        self._held = Held()
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)  # in the epoll, as if it were a FIFO
        self._epoll.register(self._bell, select.EPOLLIN)
        self._ready: deque[Fifo] = deque()
        self._queued: set[Fifo] = set()
        self._listeners: dict[str, Callable[[str, bytes], None]] = {}
        self._paused: dict[Fifo, None] = {}  # in the order in which they are tried again
        self._stuck = False  # it is on record that something could not be written

    def recover(self) -> None:
        """Finish or undo what a killed predecessor was doing. OSError: not now (`run` tries again)."""
        self._intake.committer.settle()

    def close(self) -> None:
        for name in tuple(self._fifos):
            self.detach(name)
        self._epoll.close()
        os.close(self._bell)
        self._intake.close()

    # ── supervise.ports.Output ─────────────────────────────────────────────────────────

    def attach(self, name: str, run: int) -> None:
        """OSError if the FIFOs are not there."""
        if name in self._fifos:
            if self._fifos[name][0].source.run == run:
                return
            self.detach(name)
        fifos: list[Fifo] = []
        try:
            fifos.extend(Fifo(self._run_dir, records.Source(name, run, stream)) for stream in numbers.STREAMS)
        except OSError:
            for fifo in fifos:
                fifo.close()
            raise
        self._fifos[name] = tuple(fifos)
        for fifo in fifos:
            self._by_fd[fifo.fd] = fifo
            self._epoll.register(fifo.fd, select.EPOLLIN | select.EPOLLET)

    async def drain(self, name: str) -> None:
        """At once where nothing waits, as it is with most."""
        for fifo in self._fifos.get(name, ()):
            if fifo not in self._paused and not fifo.waiting():
                continue
            for final in (False, True):
                while self._by_fd.get(fifo.fd) is fifo:
                    moved = self._try(fifo, final=final)
                    if moved is None:
                        await trio.sleep(RETRY)
                    elif moved:
                        await trio.lowlevel.checkpoint()
                    else:
                        break

    def detach(self, name: str) -> None:
        for fifo in self._fifos.pop(name, ()):
            self._epoll.unregister(fifo.fd)
            del self._by_fd[fifo.fd]
            if fifo in self._queued:
                self._queued.discard(fifo)
                self._ready.remove(fifo)
            self._paused.pop(fifo, None)
            self._held.release(fifo)
            fifo.close()
        self._intake.forget(name)

    def listen(self, name: str, hear: Callable[[str, bytes], None]) -> None:
        """From now on `hear` gets each stream's name and bytes, once they are on record. It must not raise."""
        self._listeners[name] = hear

    def listen_no_more(self, name: str) -> None:
        self._listeners.pop(name, None)

    def waiting(self, name: str) -> int:
        return sum(fifo.waiting() for fifo in self._fifos.get(name, ()) if fifo in self._paused)

    def last_run(self, name: str) -> int:
        """Of which anything is on record, or was. OSError."""
        note = numbers.read(self._archive.log_dir, name)
        return max(note.run if note else 0, numbers.last_run(self._archive.log_dir, name))

    def number(self, name: str, through: str) -> numbers.Note:
        """What comes next in each stream; `through` is the newest closed segment. OSError: cannot be said now."""
        self._intake.committer.settle()
        log_dir, fifos = self._archive.log_dir, self._fifos.get(name)
        run = fifos[0].source.run if fifos else numbers.last_run(log_dir, name)
        known = {fifo.source.stream: fifo.seq for fifo in fifos or ()}
        stdout, stderr = (
            known.get(stream) or numbers.next_seq(log_dir, records.Source(name, run, stream))
            for stream in numbers.STREAMS
        )
        return numbers.Note(run, stdout, stderr, through)

    # ── the task ───────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        with self._held.listening():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._read)
                nursery.start_soon(self._hear)
                nursery.start_soon(self._retry)

    async def _hear(self) -> None:
        while True:
            for fifo in await self._held.grown():
                self._queue(fifo)
            os.eventfd_write(self._bell, 1)

    async def _read(self) -> None:
        while True:
            if not self._ready:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0, 256):
                if fd in self._by_fd:
                    self._queue(self._by_fd[fd])
                elif fd == self._bell:
                    os.eventfd_read(fd)
            for _ in range(len(self._ready)):
                if not self._ready:  # detached meanwhile
                    break
                fifo = self._ready.popleft()
                self._queued.discard(fifo)
                moved = self._drop(fifo) if fifo in self._paused else self._try(fifo)
                if moved or (moved is False and fifo.left and not self._held.hold(fifo, fifo.left)):
                    self._queue(fifo)
                elif moved is None:
                    self._held.release(fifo)
                await trio.lowlevel.checkpoint()

    async def _retry(self) -> None:
        while True:
            await trio.sleep(RETRY)
            if not self._paused and self._intake.owes:
                with suppress(OSError):
                    self._intake.pay()
            for fifo in tuple(self._paused)[:PROBES]:
                if fifo not in self._paused:  # detached meanwhile
                    continue
                self._try(fifo)
                if fifo not in self._paused:
                    for other in (fifo, *self._paused):
                        self._queue(other, even_paused=True)
                    break
                await trio.lowlevel.checkpoint()

    def _queue(self, fifo: Fifo, *, even_paused: bool = False) -> None:
        waits = fifo in self._paused and not even_paused and not self._intake.drops(fifo.source.container)
        if fifo not in self._queued and not waits:
            self._queued.add(fifo)
            self._ready.append(fifo)

    def _try(self, fifo: Fifo, *, final: bool = False) -> bool | None:
        """One turn: True if something was taken, False if there was nothing to, None if it must wait."""
        try:
            moved = self._intake.take(fifo, final=final)
        except OSError as error:
            self._pause(fifo, error)
            return self._drop(fifo, final=final)
        self._paused.pop(fifo, None)
        if self._stuck and not self._paused:
            self._stuck = False
            self._journal.record("info", "logs.resumed")
        return moved

    def _drop(self, fifo: Fifo, *, final: bool = False) -> bool | None:
        """As `_try`, of what nobody shall wait for."""
        if not self._intake.drops(fifo.source.container):
            return None
        try:
            return self._intake.drop(fifo, final=final)
        except OSError:
            return None

    def _pause(self, fifo: Fifo, error: OSError) -> None:
        self._paused.pop(fifo, None)
        self._paused[fifo] = None
        if not self._stuck:
            self._stuck = True
            self._journal.record(
                "error", "logs.paused", fifo.source.container, fifo.source.run,
                reason=error.strerror or str(error), errno=error.errno or 0,
            )  # fmt: skip

    def _tell(self, source: records.Source, data: bytes) -> None:
        if hear := self._listeners.get(source.container):
            hear(source.stream, data)
