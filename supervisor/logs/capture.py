"""Output of all containers, from their FIFOs into their stores: one trio task.

Laws:
* Exactly once, in order, whatever is killed when: see `intent` and `commit`.
* Fair: ready streams take turns, one chunk (at most what a pipe holds) a turn, other tasks in between.
* Nothing is dropped. When records cannot be written, for whatever reason, output waits in the
  FIFO (and the service in its write); retried every second. `logs.paused` is recorded once,
  when the first stream has to wait, `logs.resumed` once, when the last one no longer does.

FIFOs are watched edge-triggered in an epoll of their own, whose descriptor trio waits for: a
line that is not finished yet makes no noise, and five thousand streams cost one registration.
"""

import select
from collections import deque
from collections.abc import Callable

import trio

from supervisor.core import spec
from supervisor.logs import numbers, records
from supervisor.logs.archive import Archive
from supervisor.logs.commit import Committer
from supervisor.logs.fifo import Fifo, Scratch, Tee
from supervisor.logs.recorder import Recorder
from supervisor.logs.stamp import stamp

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
        self._configure = configure
        self._journal = journal
        self._scratch = Scratch(tee)
        self._committer = Committer(archive, run_dir)
        self._epoll = select.epoll()
        self._fifos: dict[str, tuple[Fifo, ...]] = {}
        self._by_fd: dict[int, Fifo] = {}
        self._ready: deque[Fifo] = deque()
        self._queued: set[Fifo] = set()
        self._listeners: dict[str, Callable[[str, bytes], None]] = {}
        self._paused: dict[Fifo, None] = {}  # in the order in which they are tried again

    def recover(self) -> None:
        """Finish or undo what a killed predecessor was doing. OSError: not now (`run` tries again)."""
        self._committer.settle()

    def close(self) -> None:
        for name in tuple(self._fifos):
            self.detach(name)
        self._epoll.close()
        self._scratch.close()
        self._committer.close()

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
        for fifo in self._fifos.get(name, ()):
            for final in (False, True):
                while self._by_fd.get(fifo.fd) is fifo:
                    moved = self._try(fifo, final=final)
                    if moved is None:
                        await trio.sleep(RETRY)
                    elif moved:
                        await trio.lowlevel.checkpoint()
                    else:
                        break
        await trio.lowlevel.checkpoint()

    def detach(self, name: str) -> None:
        for fifo in self._fifos.pop(name, ()):
            self._epoll.unregister(fifo.fd)
            del self._by_fd[fifo.fd]
            if fifo in self._queued:
                self._queued.discard(fifo)
                self._ready.remove(fifo)
            self._unpause(fifo)
            fifo.close()

    def listen(self, name: str, hear: Callable[[str, bytes], None]) -> None:
        """From now on `hear` gets each stream's name and bytes, once they are on record. It must not raise."""
        self._listeners[name] = hear

    def listen_no_more(self, name: str) -> None:
        self._listeners.pop(name, None)

    def waiting(self, name: str) -> int:
        return sum(fifo.waiting() for fifo in self._fifos.get(name, ()) if fifo in self._paused)

    def number(self, name: str, through: str) -> numbers.Note:
        """What comes next in each stream; `through` is the newest closed segment. OSError: cannot be said now."""
        self._committer.settle()
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
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read)
            nursery.start_soon(self._retry)

    async def _read(self) -> None:
        while True:
            if not self._ready:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
            for fd, _ in self._epoll.poll(0, 256):
                if fd in self._by_fd:
                    self._queue(self._by_fd[fd])
            for _ in range(len(self._ready)):
                if not self._ready:  # detached meanwhile
                    break
                fifo = self._ready.popleft()
                self._queued.discard(fifo)
                if self._try(fifo):
                    self._queue(fifo)
                await trio.lowlevel.checkpoint()

    async def _retry(self) -> None:
        while True:
            await trio.sleep(RETRY)
            for fifo in tuple(self._paused)[:PROBES]:
                if fifo not in self._paused:  # detached meanwhile
                    continue
                if self._try(fifo) is not None:
                    for other in (fifo, *self._paused):
                        self._queue(other, even_paused=True)
                    break
                await trio.lowlevel.checkpoint()

    def _queue(self, fifo: Fifo, *, even_paused: bool = False) -> None:
        if fifo not in self._queued and (even_paused or fifo not in self._paused):
            self._queued.add(fifo)
            self._ready.append(fifo)

    def _try(self, fifo: Fifo, *, final: bool = False) -> bool | None:
        """One turn: True if something was recorded, False if there was nothing to, None if it must wait."""
        try:
            moved = self._turn(fifo, final=final)
        except OSError as error:
            self._pause(fifo, error)
            return None
        self._unpause(fifo)
        return moved

    def _turn(self, fifo: Fifo, *, final: bool) -> bool:
        self._committer.settle()
        chunk, full = self._scratch.look(fifo)
        if not chunk:
            return False
        output = self._configure(fifo.source.container)
        shape = records.Shape(json=output.format == "json", max_line=output.max_line)
        if fifo.seq is None:
            self._archive.store(fifo.source.container).place()  # repaired, if need be
            fifo.seq = numbers.next_seq(self._archive.log_dir, fifo.source)
        ts = stamp()
        batch = records.encode(chunk, fifo.source, fifo.seq, ts, shape, final=final)
        if not batch.consumed and full:
            if fifo.grow():
                return True
            batch = records.encode(chunk, fifo.source, fifo.seq, ts, shape, full=True)
        if not batch.consumed:
            return False
        seq, fifo.seq = fifo.seq, None  # to be looked up again should this fail
        self._committer.commit(fifo, batch, ts)
        fifo.seq = seq + batch.count
        if hear := self._listeners.get(fifo.source.container):
            hear(fifo.source.stream, chunk[: batch.consumed])
        return True

    def _pause(self, fifo: Fifo, error: OSError) -> None:
        first = not self._paused
        self._paused.pop(fifo, None)
        self._paused[fifo] = None
        if first:
            source = fifo.source
            self._journal.record(
                "error",
                "logs.paused",
                source.container,
                source.run,
                reason=error.strerror or str(error),
                errno=error.errno or 0,
            )

    def _unpause(self, fifo: Fifo) -> None:
        if fifo in self._paused:
            del self._paused[fifo]
            if not self._paused:
                self._journal.record("info", "logs.resumed")
