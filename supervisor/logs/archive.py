"""LOGDIR: one store a folder, made when first asked for.

Law: everything is reached through the directory descriptor, never by an absolute path; the
descriptor stays the caller's.
"""

import trio

from supervisor.logs.bell import Bell
from supervisor.logs.descriptors import Descriptors
from supervisor.logs.store import Store


class Archive:
    def __init__(
        self,
        log_dir: int,
        *,
        segment: int = 64 << 20,
        segment_age: float = 86400.0,
        open_files: int = 1024,
    ) -> None:
        self.log_dir = log_dir
        self._segment = segment
        self._segment_age = segment_age
        self._descriptors = Descriptors(open_files)
        self._bell = Bell()
        self._stores: dict[str, Store] = {}

    def configure(self, *, segment: int) -> None:
        """For records that are yet to be written; a closed segment stays as it is."""
        self._segment = segment
        for store in self._stores.values():
            store.configure(segment=segment)

    def store(self, name: str) -> Store:
        if name not in self._stores:
            self._stores[name] = Store(
                self.log_dir,
                name,
                self._descriptors,
                self._bell,
                segment=self._segment,
                segment_age=self._segment_age,
            )
        return self._stores[name]

    def subscribe(self, name: str | None = None) -> trio.Event:
        """Set when there are new records, of `name` or of anyone. Subscribe, read, then wait."""
        return (self._bell if name is None else self.store(name).bell).subscribe()

    def forget(self, name: str) -> None:
        """The container is gone for good; its files stay."""
        self._descriptors.drop(name)
        store = self._stores.pop(name, None)
        if store is not None:
            store.bell.ring()  # whoever waits must subscribe to the next one

    def close(self) -> None:
        self._descriptors.close()
