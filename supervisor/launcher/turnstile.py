"""How many launches are under way at once: enough that every core has work, and no more.

Until it executes, a process that is being launched copies pages of the helper's, up to a megabyte of them, and shares
the machine with all others: of a thousand at once none would be done before nearly all are.

Laws: whoever comes gets in, at about the order of coming. A launch that takes longer than PATIENCE
gives its place up, so that those which hang (a root directory on a file system that does not answer) hold up no others.
"""

import os
from collections import deque

import trio

#: Seconds; a launch takes a few milliseconds.
PATIENCE = 1.0
#: For each core, so that one can be set up while another waits for a lock of the kernel's.
AT_ONCE = 16


class Turnstile:
    """`places` is how many may be inside at once."""

    def __init__(self, places: int | None = None) -> None:
        self._places = places or AT_ONCE * (os.cpu_count() or 1)
        self._inside: dict[str, float] = {}
        self._waiting: deque[trio.Event] = deque()
        self._crowded = trio.Event()
        self._open = False

    async def enter(self, name: str) -> None:
        while not self._room():
            turn = trio.Event()
            self._waiting.append(turn)
            self._crowded.set()
            await turn.wait()
        self._inside[name] = trio.current_time()

    def enter_now(self, name: str) -> bool:
        """False: it has to wait its turn."""
        if self._waiting or not self._room():
            return False
        self._inside[name] = trio.current_time()
        return True

    def _room(self) -> bool:
        return self._open or len(self._inside) < self._places

    def leave(self, name: str) -> None:
        """Whether its launch succeeded or not; one that is not inside is none of ours."""
        if self._inside.pop(name, None) is not None and self._waiting:
            self._waiting.popleft().set()

    async def mind(self) -> None:
        """Take the places of those that are late, until cancelled."""
        while True:
            await self._crowded.wait()
            self._crowded = trio.Event()
            while self._waiting:
                await trio.sleep(PATIENCE)
                before = trio.current_time() - PATIENCE
                for late in [one for one, since in self._inside.items() if since <= before]:
                    self.leave(late)

    def open(self) -> None:
        """For good: nobody is held up any more."""
        self._open = True
        while self._waiting:
            self._waiting.popleft().set()
