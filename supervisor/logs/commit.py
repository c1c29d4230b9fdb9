"""From FIFO to store exactly once, whatever is killed when.

Law: `settle` is the only way out of an unfinished commit, whether the daemon was killed in it
(then the successor calls it first of all) or a system call failed (then the next turn does,
before it looks into any FIFO).
The steps and why they suffice are in `intent`.
"""

import os

from supervisor.logs import segments
from supervisor.logs.archive import Archive
from supervisor.logs.fifo import Fifo, open_fifo
from supervisor.logs.intent import Intent, Notebook
from supervisor.logs.records import Batch, Source
from supervisor.logs.segment import open_segment
from supervisor.logs.stamp import LENGTH
from supervisor.logs.store import Store

_TS = len(b'{"ts":"')


class Committer:
    def __init__(self, archive: Archive, run_dir: int) -> None:
        self._archive = archive
        self._run_dir = run_dir
        self._notebook = Notebook(run_dir)
        self._open = True  # something may be noted

    def close(self) -> None:
        self._notebook.close()

    def commit(self, fifo: Fifo, batch: Batch, ts: str) -> None:
        """Records into the store, their bytes out of the FIFO. OSError: neither, or `settle` will see to it."""
        if self._open:
            raise RuntimeError("settle first")
        source = fifo.source
        store = self._archive.store(source.container)
        place = store.prepare(len(batch.data), ts)
        self._open = True
        self._notebook.note(
            Intent(
                name=source.container,
                stream=source.stream,
                run=source.run,
                fifo=fifo.inode,
                count=batch.consumed,
                inode=place.inode,
                before=place.size,
                after=place.size + len(batch.data),
            )
        )
        store.append(batch.data)
        self._notebook.consume(fifo.fd, batch.consumed)
        self._notebook.clear()
        self._open = False

    def settle(self) -> None:
        """Finish or undo what is noted, if anything is."""
        if not self._open:
            return
        noted = self._notebook.noted()
        if noted is not None:
            self._decide(*noted)
        self._notebook.clear()
        self._open = False

    def _decide(self, intent: Intent, consumed: int) -> None:
        store = self._archive.store(intent.name)
        place = store.place()
        written = place.inode == intent.inode and place.size >= intent.after
        if not written and not consumed:
            if place.inode == intent.inode and place.size > intent.before:
                store.cut(intent.before)
            return
        try:
            fifo = open_fifo(self._run_dir, intent.name, intent.stream)
        except FileNotFoundError:
            return
        try:
            if os.fstat(fifo).st_ino == intent.fifo:
                self._notebook.consume(fifo, intent.count, consumed)
        finally:
            os.close(fifo)


def next_seq(archive: Archive, store: Store, source: Source) -> int:
    """One more than the last `seq` on record of this source; 1 if there is none.

    Looks backwards through segments until it finds a record of the source, or of an older run:
    normally the last block of current.jsonl. Only a stream that has long been silent while the
    other one filled segments costs more.
    """
    needle = source.needle()
    older = Source(source.container, source.run, "").needle().partition(b',"run":')[0] + b',"run":'
    store.place()  # repaired, if need be
    for entry in reversed(segments.entries(archive.log_dir, source.container)):
        segment = open_segment(archive.log_dir, source.container, entry)
        if segment is None:
            continue
        try:
            for line in segments.backwards(segment, segment.size()):
                tail = line[_TS + LENGTH :]
                if tail.startswith(needle):
                    return _digits(tail, len(needle)) + 1
                if tail.startswith(older) and _digits(tail, len(older)) < source.run:
                    return 1
        finally:
            segment.close()
    return 1


def _digits(text: bytes, at: int) -> int:
    end = at
    while text[end : end + 1].isdigit():
        end += 1
    return int(text[at:end] or b"0")
