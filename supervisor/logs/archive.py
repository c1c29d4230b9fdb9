"""LOGDIR: one store a folder, made when first asked for.

Law: everything is reached through the directory descriptor, never by an absolute path; the
descriptor stays the caller's.
"""

import trio

from supervisor.logs.bell import Bell
from supervisor.logs.descriptors import Descriptors
from supervisor.logs.stamp import stamp
from supervisor.logs.store import Store
from supervisor.logs.sync import Policy, Sync


class Archive:
    def __init__(
        self,
        log_dir: int,
        *,
        segment: int = 64 << 20,
        segment_age: float = 86400.0,
        sync: Policy = "none",
        open_files: int = 1024,
    ) -> None:
        self.log_dir = log_dir
        self.sync = Sync(log_dir, sync)
        #: Names of stores that have one more closed segment; whoever looks after these takes them out.
        self.closed: dict[str, None] = {}
        self.closings = Bell()
        self._segment = segment
        self._segment_age = segment_age
        self._descriptors = Descriptors(open_files)
        self._bell = Bell()
        self._stores: dict[str, Store] = {}

    def configure(self, *, segment: int, segment_age: float, sync: Policy) -> None:
        """For records that are yet to be written; a closed segment stays as it is."""
        self._segment, self._segment_age, self.sync.policy = segment, segment_age, sync
        for store in self._stores.values():
            store.configure(segment=segment, segment_age=segment_age)

    def store(self, name: str) -> Store:
        if name not in self._stores:
            self._stores[name] = Store(
                self.log_dir,
                name,
                self._descriptors,
                self._bell,
                sync=self.sync,
                closed=self._note_closed,
                segment=self._segment,
                segment_age=self._segment_age,
            )
        return self._stores[name]

    def subscribe(self, name: str | None = None) -> trio.Event:
        """Set when there are new records, of `name` or of anyone. Subscribe, read, then wait."""
        return (self._bell if name is None else self.store(name).bell).subscribe()

    def close_old(self, name: str) -> None:
        """Close the current segment of `name` if it is too old by now. OSError: not now."""
        self.store(name).close_old(stamp())

    def forget(self, name: str) -> None:
        """The container is gone for good; its files stay."""
        self._descriptors.drop(name)
        store = self._stores.pop(name, None)
        if store is not None:
            store.bell.ring()  # whoever waits must subscribe to the next one

    def close(self) -> None:
        self._descriptors.close()
        self.sync.close()

    def _note_closed(self, name: str) -> None:
        self.closed[name] = None
        self.closings.ring()
