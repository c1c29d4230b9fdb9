"""How sure a record is when the machine loses its power: `[supervisor.logs] sync`.

Laws:
* "none": the kernel writes when it likes. "1s": what was written is on the disk about a second later,
  and nobody waits for it. "always": a record is on the disk before its bytes are taken out of the FIFO.
* Data is of no use under a name that is lost: after a file was made or renamed its folder is written too.
* A daemon that is killed loses nothing either way: what was written is the kernel's.
"""

import os
from typing import Literal, NamedTuple

Policy = Literal["none", "1s", "always"]
#: Closed segments that may wait for the next second, each with an open file; more of them are written at once.
_MOST = 64


class Unsure(NamedTuple):
    """What is to be forced to the disk: stores whose current file grew, folders in which names changed,
    and descriptors of segments that were closed since.
    """

    names: frozenset[str]
    folders: frozenset[str]
    descriptors: tuple[int, ...]


class Sync:
    def __init__(self, log_dir: int, policy: Policy) -> None:
        self.policy: Policy = policy
        self._log_dir = log_dir
        self._names: set[str] = set()
        self._flight: frozenset[str] = frozenset()  # taken, and may be closed before the taker has opened it
        self._folders: set[str] = set()
        self._descriptors: list[int] = []

    def wrote(self, name: str, fd: int) -> None:
        """Something was appended to the current file. OSError: it is not sure."""
        if self.policy == "always":
            os.fdatasync(fd)
        elif self.policy == "1s":
            self._names.add(name)

    def named(self, name: str) -> None:
        """The current file was made. OSError: it is not sure that it will be found."""
        if self.policy == "always":
            force_folder(self._log_dir, name)
        elif self.policy == "1s":
            self._folders.add(name)

    def closed(self, name: str, fd: int) -> None:
        """The current file has got another name. OSError: it is not sure that it has it."""
        if name in self._names or name in self._flight:
            self._names.discard(name)
            if len(self._descriptors) < _MOST:
                self._descriptors.append(os.dup(fd))
            else:
                os.fdatasync(fd)
        self.named(name)

    def take(self) -> Unsure:
        """All that is not sure yet. Call `took` when it is, or could not be made so."""
        taken = Unsure(frozenset(self._names), frozenset(self._folders), tuple(self._descriptors))
        self._names, self._folders, self._descriptors = set(), set(), []
        self._flight = taken.names
        return taken

    def took(self, unsure: Unsure, *, sure: bool) -> None:
        """What is not sure is taken with the next lot."""
        self._flight = frozenset()
        if sure:
            for fd in unsure.descriptors:
                os.close(fd)
        else:
            self._names |= unsure.names
            self._folders |= unsure.folders
            self._descriptors += unsure.descriptors

    def close(self) -> None:
        self.took(self.take(), sure=True)


def force_folder(log_dir: int, name: str) -> None:
    folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=log_dir)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def force(log_dir: int, unsure: Unsure, current: str) -> None:
    """Blocks until it is on the disk; for a thread. `current` is what each store's file is called. OSError: not all is."""
    for fd in unsure.descriptors:
        os.fdatasync(fd)
    for name in unsure.names:
        try:
            fd = os.open(f"{name}/{current}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=log_dir)
        except FileNotFoundError:
            continue  # closed meanwhile, so it is among the next ones' descriptors; or somebody deleted it
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
    for name in unsure.folders:
        try:
            force_folder(log_dir, name)
        except FileNotFoundError:
            continue
