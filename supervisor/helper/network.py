"""A network namespace made beforehand: most of a launch's time in the kernel goes into making one.

All fresh ones are alike, so the next launch takes the one that is ready, and the helper makes another when it
has nothing else to do. Without one ready the launch makes its own.
"""

import os
import select
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.helper.programs import LOOPBACK
from supervisor.helper.workplace import HOST, SLOTS
from supervisor.kernel import namespaces
from supervisor.kernel.program import run


class Spare:
    """`wanted` while one should be made; after a failure not before a launch has asked again."""

    def __init__(self, *, wanted: bool) -> None:
        self.wanted = wanted
        self._ready = -1
        self._maker: namespaces.Born | None = None

    def take(self) -> int:
        """Its descriptor, the caller's from now on; -1 when none is ready."""
        taken, self._ready, self.wanted = self._ready, -1, self._maker is None
        return taken

    def begin(self, poll: select.poll) -> None:
        """Safe: nobody is in it but its maker, a child of ours that ends with it. A failure costs the next launch
        some time, and is told by that if it is one there too.
        """
        self.wanted = False
        with suppress(KernelError, OSError):
            self._maker = namespaces.bear("net", _arrange)
            poll.register(self._maker.ready, select.POLLIN)

    def hear(self, descriptor: int, poll: select.poll) -> None:
        """Of whatever is not the caller's own: the maker has done its work, or could not."""
        maker = self._maker
        if maker is None or descriptor != maker.ready:
            return
        poll.unregister(maker.ready)
        self._maker = None
        with suppress(OSError):
            self._ready = maker.open() if os.read(maker.ready, 1) else -1
        maker.let_go()


def _arrange() -> None:
    slots = [-1] * SLOTS
    slots[HOST] = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    run(LOOPBACK, slots)
