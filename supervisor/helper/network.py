"""A network namespace made beforehand: most of a launch's time in the kernel goes into making one.

All fresh ones are alike, so the next launch takes the one that is ready, and the helper makes another when it
has nothing else to do. Without one ready the launch makes its own. So does every launch of a helper without root:
it could not come back from a namespace that it has entered (setns(2) wants powers over the one returned to).
"""

import os
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.helper.slots import HOST, OTHER
from supervisor.helper.world import LOOPBACK
from supervisor.kernel import namespaces, process
from supervisor.kernel.program import run, slots

_ATTEMPTS = 10  # at what is refused for want of memory only


class Spare:
    """`wanted` while one should be made; not again after a failure, until a launch has asked."""

    def __init__(self, *, possible: bool) -> None:
        self.wanted = self._possible = possible
        self._ready = -1

    def take(self) -> int:
        """Its descriptor, the caller's from now on; -1 when none is ready."""
        taken, self._ready, self.wanted = self._ready, -1, self._possible
        return taken

    def make(self) -> None:
        """Safe: the helper is in it only meanwhile, and nothing of its own is; one that could not come back
        would launch into it, so it ends at once. What runs goes on without a helper.
        """
        self.wanted = False
        with suppress(KernelError, OSError):
            own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                self._ready = _new()
            finally:
                _return(own)
                os.close(own)


def _new() -> int:
    namespaces.unshare(("net",))
    held = slots(OTHER)
    held[HOST] = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        run(LOOPBACK, held)
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        process.close(held[HOST])


def _return(own: int) -> None:
    for _ in range(_ATTEMPTS):
        with suppress(KernelError):
            return namespaces.join(own, "net")
    os._exit(1)
