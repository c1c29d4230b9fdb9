"""One FIFO of a container: looked into without taking, grown when a line does not fit.

A FIFO keeps the kernel's 64 KiB. Measured, CPU time a line end to end: 128 KiB take a third more, 256 KiB twice as
much (the chunk leaves the processor's cache); and a thousand containers whose output waits would hold 512 MiB of
kernel memory. Only a line that fills its FIFO, yet is
no longer than `max_line`, makes it grow, at most to 1 MiB (fs.pipe-max-size); where that is
refused the line is split.

Law: what is read here stays in the FIFO. tee(2) into an empty scratch pipe shares the pages,
reading the scratch leaves the FIFO alone.
"""

import fcntl
import os
import select
import stat
import struct
import termios
from collections.abc import Callable

from supervisor.logs.records import Source

Tee = Callable[[int, int, int], int]

LARGEST = 1 << 20


class Fifo:
    """`seq` of the next record; None until it has been looked up in the store.

    `left`: bytes that the last look found and that were left there, an unfinished line.
    `midline`: it begins within a line whose beginning was dropped, and why it was; "" otherwise.
    """

    def __init__(self, run_dir: int, source: Source) -> None:
        self.source = source
        self.seq: int | None = None
        self.midline = ""
        self.left = 0
        self.fd = open_fifo(run_dir, source.container, source.stream)
        self.inode = os.fstat(self.fd).st_ino

    def close(self) -> None:
        os.close(self.fd)

    def size(self) -> int:
        return fcntl.fcntl(self.fd, fcntl.F_GETPIPE_SZ)

    def waiting(self) -> int:
        answer = bytearray(4)
        fcntl.ioctl(self.fd, termios.FIONREAD, answer)
        return int(struct.unpack("i", answer)[0])

    def alert(self, *, on: bool) -> None:
        """Whether each write to it is told by SIGIO."""
        fcntl.fcntl(self.fd, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(self.fd, fcntl.F_SETFL, os.O_NONBLOCK | (os.O_ASYNC if on else 0))

    def grow(self) -> bool:
        """Twice the size, if the kernel grants it."""
        wanted = self.size() * 2
        if wanted > LARGEST:
            return False
        try:
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, wanted)
        except OSError:
            return False
        return True


def open_fifo(run_dir: int, name: str, stream: str) -> int:
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(f"containers/{name}/{stream}", flags, dir_fd=run_dir)
    if not stat.S_ISFIFO(os.fstat(fd).st_mode):
        os.close(fd)
        raise FileNotFoundError(f"containers/{name}/{stream} is no FIFO")
    return fd


class Scratch:
    """Empty pipes to tee into, one for each size of FIFO.

    Of the same size, so that the scratch is full exactly when the FIFO is: a pipe counts pages,
    not bytes, and the reading end cannot be asked.
    """

    def __init__(self, tee: Tee) -> None:
        self._tee = tee
        self._pipes: dict[int, tuple[int, int]] = {}

    def look(self, fifo: Fifo) -> tuple[bytes, bool]:
        """What waits in the FIFO, and whether the FIFO is full."""
        size = fifo.size()
        reader, writer = self._pipe(size)
        try:
            count = self._tee(fifo.fd, writer, size)
        except BlockingIOError:
            return b"", False
        try:
            full = not _writable(writer)
            return _read(reader, count), full
        except BaseException:
            self._discard(size)  # what is left in it would be taken for the next chunk
            raise

    def close(self) -> None:
        for size in tuple(self._pipes):
            self._discard(size)

    def _pipe(self, size: int) -> tuple[int, int]:
        if size not in self._pipes:
            ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, size)
            except OSError:
                os.close(ends[0])
                os.close(ends[1])
                raise
            self._pipes[size] = ends
        return self._pipes[size]

    def _discard(self, size: int) -> None:
        for end in self._pipes.pop(size):
            os.close(end)


def _read(reader: int, count: int) -> bytes:
    data = os.read(reader, count)
    if len(data) == count:
        return data
    parts = [data]  # a service may have set O_DIRECT: then each read gives one of its writes
    left = count - len(data)
    while left:
        parts.append(os.read(reader, left))
        left -= len(parts[-1])
    return b"".join(parts)


def _writable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
