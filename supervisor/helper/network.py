"""A network namespace made beforehand: most of a launch's time in the kernel goes into making one.

All fresh ones are alike, so the next launch takes the one that is ready, and the helper makes another when it
has nothing else to do. Without one ready the launch makes its own.
"""

import os
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.helper.programs import LOOPBACK
from supervisor.helper.workplace import HOST, SLOTS
from supervisor.kernel import namespaces
from supervisor.kernel.program import run


class Spare:
    """`wanted` while one should be made; after a failure not before a launch has asked again."""

    def __init__(self) -> None:
        self.wanted = False
        self._ready = -1

    def take(self) -> int:
        """Its descriptor, the caller's from now on; -1 when none is ready."""
        taken, self._ready, self.wanted = self._ready, -1, True
        return taken

    def make(self) -> None:
        """Safe: nobody is in it. A failure costs the next launch some time, and is told by it if it is one there too."""
        self.wanted = False
        with suppress(KernelError, OSError):
            self._ready = namespaces.make_network(_arrange)


def _arrange() -> None:
    slots = [-1] * SLOTS
    slots[HOST] = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    run(LOOPBACK, slots)
