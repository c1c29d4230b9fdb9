"""The next `seq` of a stream, found in the records, or in a note about those that were dropped.

Laws:
* It is one more than the last `seq` on record of this container, run and stream, or that was ever on record.
* `seq.json` in the container's folder says what came next in each stream of a run when the closed segment `through` was
  the newest. So of the closed segments only later ones are searched, and earlier ones may be dropped.
  It must say so before they are.
* A record is recognised where a line starts, by all that precedes its number: data cannot pretend to be one.
* A note that cannot be read is none. Numbers of a run are of use while it lives, as long as the machine at the most.
"""

import errno
import os
import re
from collections.abc import Generator
from contextlib import closing

import msgspec

from supervisor.logs import segments
from supervisor.logs.records import Source
from supervisor.logs.retention import ours
from supervisor.logs.segment import CURRENT, Compressed, Segment, open_segment
from supervisor.logs.stamp import LENGTH

FILE = "seq.json"
STREAMS = ("stdout", "stderr")
_MODE = 0o640
#: Of the note, so that a shorter one leaves nothing of a longer one.
_SIZE = 512
#: From the start of a record to what `Source.needle` gives, and how long that is at most.
_HEAD = re.compile(rb'\{"ts":"[^"\n]{%d}","level":"[a-z]{1,16}"' % LENGTH)
_LONGEST = 100
_BLOCK = 1 << 20
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


class Note(msgspec.Struct, frozen=True):
    """`stdout`, `stderr`: the next number of each in this run. `through`: a segment's stem."""

    run: int
    stdout: int
    stderr: int
    through: str


def read(log_dir: int, name: str) -> Note | None:
    try:
        fd = os.open(f"{name}/{FILE}", os.O_RDONLY | _FLAGS, dir_fd=log_dir)
    except FileNotFoundError:
        return None
    try:
        return msgspec.json.decode(os.pread(fd, _SIZE, 0), type=Note)
    except msgspec.MsgspecError:
        return None
    finally:
        os.close(fd)


def write(log_dir: int, name: str, note: Note) -> None:
    """In place: a full disk, which dropping segments may mend, has room for what is there. OSError: it says what it said."""
    fd = os.open(f"{name}/{FILE}", os.O_WRONLY | os.O_CREAT | _FLAGS, _MODE, dir_fd=log_dir)
    try:
        # One write within a page: a reader, or a successor, finds it whole.
        os.pwrite(fd, msgspec.json.encode(note).ljust(_SIZE), 0)
    finally:
        os.close(fd)


def next_seq(log_dir: int, source: Source) -> int:
    """1 if there is none. The last line on record must be whole. OSError."""
    note = read(log_dir, source.container)
    older = Source(source.container, source.run, "").needle().partition(b',"run":')[0] + b',"run":'
    with closing(_newest_first(log_dir, source.container, None if note is None else note.through)) as found:
        for segment in found:
            try:
                number = _search(segment, source.needle(), older, source.run)
            except OSError as error:
                if not _damaged(error, segment):
                    raise
                continue
            if number is not None:
                return number
    return _noted(note, source)


def last_run(log_dir: int, name: str) -> int:
    """The run of the last record of output; 0 if there is none. OSError."""
    with closing(_newest_first(log_dir, name, None)) as found:
        for segment in found:
            for line in segments.backwards(segment, segment.size()):
                run = _run(line, name)
                if run:
                    return run
    return 0


def _newest_first(log_dir: int, name: str, until: str | None) -> Generator[Segment, None, None]:
    """Segments of ours, each open while it is looked at, down to the one after `until`."""
    for entry in reversed(segments.entries(log_dir, name)):
        stem = ours(entry)
        if stem is not None and stem == until:
            return
        if stem is None and entry != CURRENT:
            continue
        try:
            segment = open_segment(log_dir, name, entry)
        except OSError as error:
            if error.errno == errno.EIO and entry != CURRENT:
                continue
            raise
        if segment is None:
            continue
        try:
            yield segment
        finally:
            segment.close()


def _damaged(error: OSError, segment: Segment) -> bool:
    """Nobody's output waits for what nobody can read. That a disk cannot be read is another matter."""
    return error.errno == errno.EIO and isinstance(segment, Compressed)


def _noted(note: Note | None, source: Source) -> int:
    if note is None or note.run != source.run:
        return 1
    return note.stdout if source.stream == "stdout" else note.stderr


def _search(segment: Segment, needle: bytes, older: bytes, run: int) -> int | None:
    """The number after the last record with `needle`; 1 once records of older runs come; None: search on."""
    end = segments.whole_size(segment, segment.size())
    while end > 0:
        start = segments.whole_size(segment, max(0, end - _BLOCK))
        block = segment.pread(end - start, start)
        at = len(block)
        while (at := block.rfind(needle, 0, at)) >= 0:
            if _is_record(block, at):
                return _digits(block, at + len(needle)) + 1
        first = _HEAD.match(block)
        if first and block.startswith(older, first.end()) and _digits(block, first.end() + len(older)) < run:
            return 1
        end = start
    return None


def _is_record(block: bytes, at: int) -> bool:
    """Whether all from the start of a line to there is a record's head."""
    start = max(0, at - _LONGEST)
    newline = block.rfind(b"\n", start, at)
    if newline < 0 and start:
        return False
    return _HEAD.fullmatch(block, newline + 1, at) is not None


def _run(line: bytes, name: str) -> int:
    head = _HEAD.match(line)
    middle = Source(name, 0, "").needle().partition(b',"run":')[0] + b',"run":'
    if head is None or not line.startswith(middle, head.end()):
        return 0
    return _digits(line, head.end() + len(middle))


def _digits(text: bytes, at: int) -> int:
    end = at
    while text[end : end + 1].isdigit():
        end += 1
    return int(text[at:end] or b"0")
