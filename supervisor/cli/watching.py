"""Waiting until something is written in the folders of a log folder.

Law: nothing is missed between two waits. Where the kernel gives no more watches, all are looked at again every EVERY
seconds instead.
"""

import os
import time
from types import TracebackType
from typing import Self

from supervisor.errors import KernelError
from supervisor.kernel import changes

EVERY = 0.25


class Watching:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._names: dict[int, str] = {}
        self._watcher: int | None = None
        try:
            self._watcher = changes.watcher()
            self._top: int = changes.watch(self._watcher, folder)
        except KernelError:
            self._give_up()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._give_up()

    def add(self, name: str) -> None:
        if self._watcher is None:
            return
        try:
            self._names[changes.watch(self._watcher, os.path.join(self._folder, name))] = name
        except KernelError:
            self._give_up()

    def wait(self) -> set[str] | None:
        """Names of folders that may have changed; None: any of them, and there may be new ones."""
        if self._watcher is None:
            time.sleep(EVERY)
            return None
        found = changes.wait(self._watcher)
        if found.overflow or self._top in found.folders:
            return None
        return {self._names[number] for number in found.folders if number in self._names}

    def _give_up(self) -> None:
        if self._watcher is not None:
            os.close(self._watcher)
        self._watcher = None
