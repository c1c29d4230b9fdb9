"""FIFOs in which an unfinished line was left: more of it makes itself heard.

An edge-triggered epoll does not hear everything. A write larger than what a pipe has room for fills it and waits, and
wakes a reader then only if the pipe was empty before (anon_pipe_write in the kernel's fs/pipe.c). Where an unfinished
line was left in the pipe, it was not: reader and writer would wait for each other for ever. What such a write always
does is fasync: so these FIFOs, and no others, have O_ASYNC (fcntl(2)), and SIGIO has them looked at.

Laws: a held FIFO has grown since it was held, or SIGIO comes when it does. SIGIO ends a process that does not
mind it: only while `listening` is anything held.
"""

import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import trio

from supervisor.logs.fifo import Fifo


class Held:
    def __init__(self) -> None:
        self._seen: dict[Fifo, int] = {}  # how many bytes were in it when it was held
        self._signals: AsyncIterator[int] | None = None

    @contextmanager
    def listening(self) -> Iterator[None]:
        # A signal that has come and was not taken is raised again by trio at the end, to whoever minded it before: that was
        # nobody, and it would end the process.
        before = signal.signal(signal.SIGIO, signal.SIG_IGN)
        try:
            with trio.open_signal_receiver(signal.SIGIO) as signals:
                self._signals = signals
                try:
                    yield
                finally:
                    for fifo in tuple(self._seen):
                        self.release(fifo)
                    self._signals = None
        finally:
            signal.signal(signal.SIGIO, before)

    async def grown(self) -> list[Fifo]:
        """Those that have more in them, once there are any; they are held no more. Only while `listening`."""
        assert self._signals is not None
        while True:
            await anext(self._signals)
            found = [fifo for fifo, seen in self._seen.items() if fifo.waiting() != seen]
            for fifo in found:
                self.release(fifo)
            if found:
                return found

    def hold(self, fifo: Fifo, seen: int) -> bool:
        """`seen` bytes were left. False: there are more already, so it is not held."""
        if self._signals is None:
            return True
        if fifo not in self._seen:
            fifo.alert(on=True)
        self._seen[fifo] = seen
        if fifo.waiting() == seen:
            return True
        self.release(fifo)
        return False

    def release(self, fifo: Fifo) -> None:
        if self._seen.pop(fifo, None) is not None:
            fifo.alert(on=False)
