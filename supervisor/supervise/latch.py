"""Something that happens once, and may be waited for."""

import trio


class Latch:
    """A trio.Event that takes memory only while somebody waits for it: there are thousands of these."""

    __slots__ = ("_closed", "_event")

    def __init__(self) -> None:
        self._closed = False
        self._event: trio.Event | None = None

    def close(self) -> None:
        self._closed = True
        if self._event is not None:
            self._event.set()
            self._event = None

    def is_closed(self) -> bool:
        return self._closed

    async def wait(self) -> None:
        if self._closed:
            await trio.lowlevel.checkpoint()
            return
        if self._event is None:
            self._event = trio.Event()
        await self._event.wait()
