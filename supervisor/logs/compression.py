"""A closed segment becomes a compressed one.

Laws:
* At any instant, whatever is killed when, the segment is there under one name or under both, and
  what has the compressed name is whole: made under another one, forced to the disk, then renamed; the
  plain one goes last.
* A frame holds whole lines, about FRAME bytes of them.
* It keeps the time of its last change, which is that of its last record.
* Runs in a process of its own (see `aside`): names are below the folder's descriptor, and nothing is imported.
"""

import os
from collections.abc import Iterator

from supervisor.logs import frames, sync
from supervisor.logs.frames import FRAME, Format
from supervisor.logs.retention import PART
from supervisor.logs.segment import SUFFIX

MODE = 0o640


def compress(log_dir: int, name: str, entry: str, form: Format) -> None:
    """`entry` is the plain file's name. OSError: nothing has changed, but a half-made file may be left."""
    target = entry.removesuffix(SUFFIX) + form.suffix
    part = f"{target}.{os.getpid()}{PART}"
    source = os.open(f"{name}/{entry}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=log_dir)
    try:
        stat = os.fstat(source)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        made = os.open(f"{name}/{part}", flags, MODE, dir_fd=log_dir)
        try:
            os.fchmod(made, MODE)
            for piece in frames.pack(form, blocks(source)):
                _write_all(made, piece)
            os.utime(made, ns=(stat.st_mtime_ns, stat.st_mtime_ns))
            os.fsync(made)
        finally:
            os.close(made)
    finally:
        os.close(source)
    os.rename(f"{name}/{part}", f"{name}/{target}", src_dir_fd=log_dir, dst_dir_fd=log_dir)
    sync.force_folder(log_dir, name)
    os.unlink(f"{name}/{entry}", dir_fd=log_dir)


def blocks(fd: int, least: int = FRAME) -> Iterator[bytes]:
    """The file in pieces of whole lines, about `least` bytes each; what follows the last newline is a piece too."""
    at = 0
    while piece := _lines(fd, at, least):
        yield piece
        at += len(piece)


def _lines(fd: int, at: int, least: int) -> bytes:
    block = os.pread(fd, least, at)
    end = block.rfind(b"\n") + 1
    while block and not end:  # a line longer than a piece
        more = os.pread(fd, least, at + len(block))
        if not more:
            return block
        end = more.find(b"\n") + 1
        end += len(block) if end else 0
        block += more
    return block[:end]


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
