"""From FIFO to store exactly once, whatever is killed when.

Law: `settle` is the only way out of an unfinished commit, whether the daemon was killed in it
(then the successor calls it first of all) or a system call failed (then the next turn does,
before it looks into any FIFO).
The steps and why they suffice are in `intent`.
"""

import os

from supervisor.logs.archive import Archive
from supervisor.logs.fifo import Fifo, open_fifo
from supervisor.logs.intent import Intent, Notebook
from supervisor.logs.records import Batch


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
        store.append(batch.data, place)
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
