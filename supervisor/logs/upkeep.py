"""What happens to segments after they were closed: one trio task that capture never waits for.

Laws:
* Stores take turns: of each, surplus segments are dropped, then some are compressed, in a process
  aside. So a log may exceed `keep` by no more than what is written during one compression.
* A store that is silent has its segment closed by age too, and old segments dropped: looked for at the start, every
  hour, and oftener where an age is shorter than that. Otherwise a closed segment is what wakes this.
* What would be lost with a segment and is needed is noted before: see `numbers`.
* What a predecessor left half done is finished or removed first; only names that we give are touched.
* What fails is said once (`logs.upkeep_failed`) until it works again, tried again a minute later, and loses nothing.
"""

import os
import time
from collections.abc import Callable, Iterable

import trio

from supervisor.core import spec
from supervisor.logs import numbers, retention, segments, sync
from supervisor.logs.archive import Archive
from supervisor.logs.aside import aside
from supervisor.logs.compression import compress
from supervisor.logs.frames import FORMATS, Format
from supervisor.logs.recorder import Recorder
from supervisor.logs.retention import Closed
from supervisor.logs.segment import CURRENT, SUFFIX
from supervisor.logs.segments import SUPERVISOR

RETRY = 60.0
HOUR = 3600.0
SECOND = 1.0
#: Segments compressed in one turn of a store.
AT_ONCE = 16
_FORMATS = {"zstd": FORMATS[0], "gzip": FORMATS[1], "none": None}


class Upkeep:
    """`names` are the folders that are ours, beside the supervisor's. It configures the archive too. `settle` finishes an open
    commit: only then may a segment be closed. `unwritten`: records of the supervisor's wait; its segments then stay as
    they are (see `behind`).
    """

    def __init__(
        self,
        archive: Archive,
        logs: spec.Logs,
        names: Callable[[], Iterable[str]],
        journal: Recorder,
        *,
        settle: Callable[[], None],
        number: Callable[[str, str], numbers.Note],
        die_with: Callable[[int], None],
        unwritten: Callable[[], bool] = lambda: False,
    ) -> None:
        self._archive = archive
        self._names = names
        self._journal = journal
        self._settle = settle
        self._number = number
        self._die_with = die_with
        self._unwritten = unwritten
        self._failing: set[str] = set()
        self._changed = trio.Event()
        self.configure(logs)

    def configure(self, logs: spec.Logs) -> None:
        """For closed segments too: they are looked at again."""
        self._logs = logs
        self._archive.configure(segment=logs.segment, segment_age=logs.segment_age, sync=logs.sync)
        self._changed.set()

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tend)
            nursery.start_soon(self._visit)
            nursery.start_soon(self._force)
            try:
                await trio.sleep_forever()
            finally:
                sync.force(self._archive.log_dir, self._archive.sync.take(), CURRENT)

    async def _tend(self) -> None:
        closed = self._archive.closed
        while True:
            news = self._archive.closings.subscribe()
            later: dict[str, None] = {}
            while closed:
                name = next(iter(closed))
                del closed[name]
                try:
                    if await self._turn(name):
                        closed[name] = None
                except OSError as error:
                    self._failed(name, error)
                    later[name] = None
                else:
                    self._failing.discard(name)
                await trio.lowlevel.checkpoint()
            with trio.move_on_after(RETRY):
                await news.wait()
            closed.update(later)

    async def _visit(self) -> None:
        """Look at every store now and then, whether something was closed or not."""
        while True:
            self._changed = trio.Event()
            for name in (*self._names(), SUPERVISOR):
                try:
                    self._settle()
                    self._archive.close_old(name)
                except OSError as error:
                    self._failed(name, error)
                self._archive.closed[name] = None
                await trio.lowlevel.checkpoint()
            self._archive.closings.ring()
            with trio.move_on_after(min(HOUR, self._logs.segment_age, self._logs.keep_age or HOUR)):
                await self._changed.wait()

    async def _force(self) -> None:
        """With sync = "1s": once a second what was written, in a thread."""
        owed = self._archive.sync
        while True:
            await trio.sleep(SECOND)
            unsure = owed.take()
            if not any(unsure):
                continue
            sure = False
            try:
                await trio.to_thread.run_sync(sync.force, self._archive.log_dir, unsure, CURRENT)
                sure = True
            except OSError as error:
                self._failed("", error)
            else:
                self._failing.discard("")
            finally:
                owed.took(unsure, sure=sure)

    async def _turn(self, name: str) -> bool:
        """Whether there is more to do. OSError: not now."""
        self._tidy(name)
        self._note(name)
        self._drop(name)
        form = _FORMATS[self._logs.compress]
        if form is None or (name == SUPERVISOR and self._unwritten()):
            return False
        plain = [one.files[0].entry for one in self._segments(name) if one.files[0].entry.endswith(SUFFIX)]
        if not plain:
            return False
        status = await aside(
            self._compression(name, plain[:AT_ONCE], form), self._archive.log_dir, self._die_with
        )
        if status:
            self._tidy(name)
            raise OSError(status, os.strerror(status))
        return True

    def _compression(self, name: str, entries: list[str], form: Format) -> Callable[[], None]:
        def work() -> None:
            for entry in entries:
                compress(self._archive.log_dir, name, entry, form)

        return work

    def _segments(self, name: str) -> list[Closed]:
        found = []
        for entry in segments.files(self._archive.log_dir, name):
            stat = os.stat(f"{name}/{entry}", dir_fd=self._archive.log_dir, follow_symlinks=False)
            found.append(retention.File(entry, stat.st_size, stat.st_mtime))
        return retention.group(found)

    def _tidy(self, name: str) -> None:
        """Finish what was killed between making the compressed file and removing the plain one."""
        for entry in segments.listing(self._archive.log_dir, name):
            if retention.half_made(entry):
                self._unlink(name, entry)
        for one in self._segments(name):
            if len(one.files) > 1:
                for file in one.files:
                    if file.entry.endswith(SUFFIX):
                        self._unlink(name, file.entry)

    def _note(self, name: str) -> None:
        found = self._segments(name)
        if not found or name == SUPERVISOR:
            return
        noted = numbers.read(self._archive.log_dir, name)
        if noted is None or noted.through != found[-1].stem:
            numbers.write(self._archive.log_dir, name, self._number(name, found[-1].stem))

    def _drop(self, name: str) -> None:
        oldest = None if self._logs.keep_age is None else time.time() - self._logs.keep_age
        dropped = retention.surplus(self._segments(name), self._logs.keep, oldest)
        if not dropped:
            return
        for one in dropped:
            for file in one.files:
                self._unlink(name, file.entry)
        self._journal.record(
            "info", "logs.removed", None if name == SUPERVISOR else name,
            segments=len(dropped), bytes=sum(one.size for one in dropped), last=dropped[-1].files[-1].entry,
        )  # fmt: skip

    def _unlink(self, name: str, entry: str) -> None:
        os.unlink(f"{name}/{entry}", dir_fd=self._archive.log_dir)

    def _failed(self, name: str, error: OSError) -> None:
        if isinstance(error, FileNotFoundError) or name in self._failing:
            return  # a folder that was never made, or somebody else removed it: nothing to look after
        self._failing.add(name)
        self._journal.record(
            "error", "logs.upkeep_failed", name if name not in ("", SUPERVISOR) else None,
            reason=error.strerror or str(error), errno=error.errno or 0,
        )  # fmt: skip
