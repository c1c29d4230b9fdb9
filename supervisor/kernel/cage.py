"""A cgroup of its own below a container's, for what has to be ended with all that it has started.

Whatever leaves its process group or session, or is orphaned, is still in its cgroup. No controller is handed down to
it, so a cage limits and counts nothing by itself (cgroup-v2.rst, "No Internal Process Constraint").
"""

import errno
import os
import select
from contextlib import suppress
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.kernel import cgroup, libc

_LEFT = 1.0  # seconds for what another one has left


class Cage(NamedTuple):
    """Descriptors: its folder and the one that it is in, cgroup.kill and cgroup.events. They reach it from any mount
    namespace, and without any capability as the owner of the folders.
    """

    name: str
    parent: int
    folder: int
    killer: int
    events: int

    @property
    def descriptors(self) -> set[int]:
        return {self.parent, self.folder, self.killer, self.events}

    def fork_into(self) -> tuple[int, int]:
        """As cgroup.fork_into; with descriptors alone."""
        return libc.clone3(0, self.folder)

    def end(self, within: float | None = None) -> None:
        """Kill all that is in it, wait until that is gone, and remove it. Raises KernelError(EBUSY) when something has not
        ended `within` seconds: a process that waits for a device cannot be killed.
        """
        os.write(self.killer, b"1")
        poll = select.poll()
        poll.register(self.events, select.POLLPRI | select.POLLERR)
        while cgroup.populated(self.events):
            if not poll.poll(None if within is None else within * 1000):
                raise KernelError("cgroup", errno.EBUSY, self.name)
        os.rmdir(self.name, dir_fd=self.parent)

    def close(self) -> None:
        for descriptor in self.descriptors:
            with suppress(OSError):
                os.close(descriptor)


def make(parent: str, name: str) -> Cage:
    """In the cgroup folder `parent`; one that is there already ends first. Raises KernelError."""
    path = f"{parent}/{name}"
    try:
        try:
            os.mkdir(path, 0o755)
        except FileExistsError:
            left = _open(parent, name)
            try:
                left.end(_LEFT)
            finally:
                left.close()
            os.mkdir(path, 0o755)
        return _open(parent, name)
    except OSError as error:
        raise KernelError("mkdir", error.errno or 0, path) from None


def _open(parent: str, name: str) -> Cage:
    opened: list[int] = []
    folder = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    try:
        for path, flags in (
            (parent, folder),
            (f"{parent}/{name}", folder),
            (f"{parent}/{name}/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC),
            (f"{parent}/{name}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC),
        ):
            opened.append(os.open(path, flags))
        return Cage(name, *opened)
    except OSError:
        for descriptor in opened:
            with suppress(OSError):
                os.close(descriptor)
        raise
