"""What was dropped and is not on record yet, because nothing could be written.

Laws:
* It is noted before it is dropped, on tmpfs, and outlives the daemon: a daemon killed in between may count a chunk
  twice, never none.
* A record of it is written first; then it is owed no more.
"""

import binascii
import os

import msgspec

from supervisor.logs.limit import Loss
from supervisor.logs.records import Source

#: In the run directory, in the folder that is the daemon's.
FILE = "daemon/output.owed"
_MODE = 0o600

_Rows = list[tuple[str, int, str, int, int]]


class Owed:
    """OSError where the file cannot be read or written."""

    def __init__(self, run_dir: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(FILE, flags, _MODE, dir_fd=run_dir)
        self._losses: dict[Source, Loss] = dict(_read(self._fd))

    def __bool__(self) -> bool:
        return bool(self._losses)

    def close(self) -> None:
        os.close(self._fd)

    def add(self, source: Source, loss: Loss) -> None:
        self._losses[source] = self._losses.get(source, Loss()).plus(loss)
        self._write()

    def first(self) -> tuple[Source, Loss] | None:
        return next(iter(self._losses.items()), None)

    def paid(self, source: Source) -> None:
        del self._losses[source]
        self._write()

    def _write(self) -> None:
        rows: _Rows = [
            (one.container, one.run, one.stream, loss.lines, loss.bytes) for one, loss in self._losses.items()
        ]
        body = msgspec.json.encode(rows)
        data = b"%08x%b\n" % (binascii.crc32(body), body)
        os.pwrite(self._fd, data, 0)
        os.ftruncate(self._fd, len(data))


def _read(fd: int) -> list[tuple[Source, Loss]]:
    """Nothing where a write was cut off."""
    data = os.pread(fd, os.fstat(fd).st_size, 0).partition(b"\n")[0]
    body = data[8:]
    if not body or data[:8] != b"%08x" % binascii.crc32(body):
        return []
    rows = msgspec.json.decode(body, type=_Rows)
    return [(Source(name, run, stream), Loss(lines, size)) for name, run, stream, lines, size in rows]
