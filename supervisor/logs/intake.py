"""One turn of one stream: what waits in its FIFO becomes records, or goes where the operator said so.

Laws:
* Exactly once, in order, whatever is killed when: see `intent` and `commit`.
* What `output.rate` does not let through is counted in the same batch that takes it, as a record
  `output.dropped` where the lines would have been: so the count too is exact, whatever is killed when.
* `drop` is for output that cannot be written where `output.on_full` says that nobody shall wait: noted, then
  taken. The record follows when records can be written again (`pay`).
"""

import os
from collections.abc import Callable

from supervisor.core import spec
from supervisor.logs import limit, numbers, records
from supervisor.logs.archive import Archive
from supervisor.logs.commit import Committer
from supervisor.logs.fifo import Fifo, Scratch, Tee
from supervisor.logs.limit import Loss, Tokens
from supervisor.logs.owed import Owed
from supervisor.logs.records import Batch, Source
from supervisor.logs.stamp import stamp

#: Bytes of one turn and their stream, once they are on record.
Hear = Callable[[Source, bytes], None]


class Intake:
    """`clock` gives seconds that only go forward."""

    def __init__(
        self,
        archive: Archive,
        run_dir: int,
        configure: Callable[[str], spec.Output],
        tee: Tee,
        *,
        clock: Callable[[], float],
        hear: Hear,
    ) -> None:
        self.committer = Committer(archive, run_dir)
        self._archive = archive
        self._configure = configure
        self._scratch = Scratch(tee)
        self._owed = Owed(run_dir)
        self._clock = clock
        self._hear = hear
        self._tokens: dict[str, Tokens] = {}

    def close(self) -> None:
        self._scratch.close()
        self.committer.close()
        self._owed.close()

    def forget(self, name: str) -> None:
        self._tokens.pop(name, None)

    def drops(self, name: str) -> bool:
        return self._configure(name).on_full == "drop"

    def take(self, fifo: Fifo, *, final: bool) -> bool:
        """Whether anything was taken. OSError: records cannot be written now, and nothing was taken."""
        self.committer.settle()
        self.pay()
        chunk, full = self._scratch.look(fifo)
        fifo.left = len(chunk)
        if not chunk:
            return False
        output = self._configure(fifo.source.container)
        shape = records.Shape(json=output.format == "json", max_line=output.max_line)
        if full and b"\n" not in chunk and len(chunk) <= output.max_line and fifo.grow():
            return True
        if output.rate is None and not fifo.midline:
            return self._commit(fifo, chunk, shape, full=full, final=final)
        return self._limited(fifo, chunk, shape, output.rate, full=full, final=final)

    def drop(self, fifo: Fifo, *, final: bool) -> bool:
        """Take what waits, without a record. OSError: it could not even be noted, and waits."""
        chunk, full = self._scratch.look(fifo)
        fifo.left = len(chunk)
        cut = limit.cut(chunk, 0, midline=bool(fifo.midline), all_of_it=full or final)
        if not cut.loss.bytes:
            return False
        self._owed.add(fifo.source, cut.loss)
        fifo.midline = "full" if cut.midline else ""
        left = cut.loss.bytes
        while left and (taken := os.read(fifo.fd, left)):
            left -= len(taken)
        return True

    @property
    def owes(self) -> bool:
        return bool(self._owed)

    def pay(self) -> None:
        """Records of what was dropped while nothing could be written. OSError: it still cannot."""
        while owed := self._owed.first():
            source, loss = owed
            ts = stamp()
            self._archive.store(source.container).write(records.dropped(source, ts, loss, "full"), ts)
            self._owed.paid(source)

    def _limited(
        self, fifo: Fifo, chunk: bytes, shape: records.Shape, rate: float | None, *, full: bool, final: bool
    ) -> bool:
        name = fifo.source.container
        allowed = limit.UNLIMITED
        if rate is not None:
            self._tokens[name] = limit.refill(self._tokens.get(name), rate, self._clock())
            allowed = int(self._tokens[name].left)
        cut = limit.cut(
            chunk, allowed, midline=bool(fifo.midline), all_of_it=full or final or len(chunk) > shape.max_line
        )
        kept = chunk[cut.skipped : cut.skipped + cut.kept]
        return self._commit(fifo, kept, shape, full=full, final=final, cut=cut)

    def _commit(
        self,
        fifo: Fifo,
        chunk: bytes,
        shape: records.Shape,
        *,
        full: bool,
        final: bool,
        cut: limit.Cut | None = None,
    ) -> bool:
        source, ts = fifo.source, stamp()
        if fifo.seq is None:
            self._archive.store(source.container).place()  # repaired, if need be
            fifo.seq = numbers.next_seq(self._archive.log_dir, source)
        batch = records.encode(chunk, source, fifo.seq, ts, shape, full=full, final=final)
        heard, count, midline = chunk[: batch.consumed], batch.count, fifo.midline
        if cut is not None:
            reason = "rate" if cut.dropped else fifo.midline or "rate"
            batch, amid = _with_loss(batch, cut, lambda loss: records.dropped(source, ts, loss, reason))
            midline = reason if amid else ""
        if not batch.consumed:
            return False
        seq, fifo.seq = fifo.seq, None  # to be looked up again should this fail
        self.committer.commit(fifo, batch, ts)
        fifo.seq, fifo.midline = seq + count, midline
        self._spend(source.container, count)
        self._hear(source, heard)
        return True

    def _spend(self, name: str, count: int) -> None:
        tokens = self._tokens.get(name)
        if tokens is not None:
            self._tokens[name] = tokens._replace(left=tokens.left - count)


def _with_loss(batch: Batch, cut: limit.Cut, record: Callable[[Loss], bytes]) -> tuple[Batch, bool]:
    """What is dropped in front of the batch, and behind it if the batch goes so far; whether it ends amid a line."""
    loss, consumed, midline = cut.loss, cut.skipped + batch.consumed, cut.midline
    if batch.consumed == cut.kept:
        consumed += cut.dropped
    else:  # what is behind has another turn, when there may be more tokens
        loss, midline = Loss(0, cut.skipped), False
    return Batch(batch.data + (record(loss) if loss.bytes else b""), batch.count, consumed), midline
