"""What is about to be written, noted so that a successor can finish or undo it.

One small file for the whole daemon, `capture.intent` in the run directory (tmpfs). A chunk of
output is committed in four steps, and SIGKILL may come before, in and after each:

    note     header into the empty file, one pwrite    before it: nothing has happened
    append   records into current.jsonl, one write     file is not `after` bytes long: cut it to `before`
    consume  splice FIFO → this file, after the header the file's size says how much is consumed
    clear    ftruncate to nothing                      done

Law: consuming bytes and noting that they are consumed is one system call, so no line is lost
or doubled. The splice moves bytes a page at a time and the file grows with each, whatever ends it.

A header that is not whole was never acted upon. The FIFO's inode is noted: if the container's
FIFO has been made anew, there is nothing left to consume.
"""

import binascii
import os

import msgspec

FILE = "capture.intent"
HEADER = 512
MODE = 0o600


class Intent(msgspec.Struct, frozen=True):
    """`count` bytes of a FIFO become current.jsonl's bytes from `before` to `after`."""

    name: str
    stream: str
    run: int
    fifo: int
    count: int
    inode: int
    before: int
    after: int


class Notebook:
    """The file. It is opened here and lives as long as the process."""

    def __init__(self, run_dir: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(FILE, flags, MODE, dir_fd=run_dir)

    def close(self) -> None:
        os.close(self._fd)

    def note(self, intent: Intent) -> None:
        body = msgspec.json.encode(intent)
        header = b"%08x%b" % (binascii.crc32(body), body)
        if len(header) > HEADER:
            raise ValueError("intent too long")
        os.pwrite(self._fd, header.ljust(HEADER), 0)

    def noted(self) -> tuple[Intent, int] | None:
        """The open intent and how many bytes of it are consumed."""
        header = os.pread(self._fd, HEADER, 0)
        if len(header) < HEADER:
            return None
        body = header[8:].rstrip()
        if header[:8] != b"%08x" % binascii.crc32(body):
            return None
        return msgspec.json.decode(body, type=Intent), os.fstat(self._fd).st_size - HEADER

    def consume(self, fifo: int, count: int, already: int = 0) -> None:
        """Take bytes from the head of the FIFO until `count` of them have been.

        Fewer may be there: a service holds its FIFO open for reading too and may have taken them.
        """
        done = already
        while done < count:
            try:
                moved = os.splice(
                    fifo, self._fd, count - done, offset_dst=HEADER + done, flags=os.SPLICE_F_NONBLOCK
                )
            except BlockingIOError:
                return
            if not moved:
                return
            done += moved

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)
