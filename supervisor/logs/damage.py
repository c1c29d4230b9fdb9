"""Segments that cannot be read completely: what can be of them, and a word about each.

Laws: a damaged file takes nothing else with it. Of its own records those are given that lie in frames that can be read,
in their order. Each file is told of once, when it is come upon. A file that is whole is not read once more for this:
a compressed one is looked through only if it fails, if our table is not at its end, or for who has it read by others
(`looked_through`). Shipping is not among the readers: it stops at what it cannot read, and says so.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from supervisor.logs.frames import CUT_OFF, EMPTY
from supervisor.logs.segment import CURRENT, Compressed, Salvaged, Segment, open_segment, salvaged


def nobody(_file: str, _wrong: str) -> None:
    """Not told."""


class Damages:
    """`tell` is given the file, as `NAME/FILE` in the folder of logs, and what is wrong with it."""

    def __init__(self, tell: Callable[[str, str], None] = nobody) -> None:
        self._tell = tell
        self._told: set[str] = set()

    def note(self, file: str, wrong: str) -> None:
        """Tell, unless that has been told."""
        if file not in self._told:
            self._told.add(file)
            self._tell(file, wrong)

    def opened(self, log_dir: int, name: str, entry: str) -> Segment | None:
        """As open_segment(), but of a damaged one what can be read; None also if that is nothing."""
        try:
            segment = open_segment(log_dir, name, entry)
        except OSError as error:
            if not is_damage(error):
                raise
            file = str(error.filename)
            return self._salvaged(log_dir, name, file.rpartition("/")[2], error)
        if isinstance(segment, Compressed):
            return segment if segment.sound() else self.looked_through(log_dir, name, segment)
        if segment is not None and segment.entry != CURRENT:
            self._look_at_end(name, segment)
        return segment

    def looked_through(self, log_dir: int, name: str, segment: Segment) -> Segment:
        """The same, or in its place what can be read of it, by reading all of it."""
        if not isinstance(segment, Compressed) or isinstance(segment, Salvaged):
            return segment
        rest = self._salvaged(log_dir, name, segment.entry, None)
        if rest is None:
            return segment
        segment.close()
        return rest

    def rest(self, log_dir: int, name: str, segment: Segment, error: OSError) -> Salvaged | None:
        """What can be read of one that failed while it was read; None: nothing. Raises what is no damage."""
        if not is_damage(error) or isinstance(segment, Salvaged):
            raise error
        return self._salvaged(log_dir, name, segment.entry, error)

    @contextmanager
    def passed_over(self, log_dir: int, name: str, entry: str) -> Iterator[Segment | None]:
        """A segment as opened() gives it, for who goes on behind it if it fails while it is read."""
        segment = self.opened(log_dir, name, entry)
        try:
            yield segment
        except OSError as error:
            if segment is None or not is_damage(error):
                raise
            self.note(f"{name}/{segment.entry}", _said(error))
        finally:
            if segment is not None:
                segment.close()

    def _salvaged(self, log_dir: int, name: str, entry: str, error: OSError | None) -> Salvaged | None:
        """None if nothing is wrong, as far as can be seen, and nothing has failed."""
        found = salvaged(log_dir, name, entry)
        wrong = (found.wrong if found is not None else "") or ("" if error is None else _said(error))
        if wrong:
            self.note(f"{name}/{entry}", wrong)
        elif found is not None:
            found.close()
            return None
        return found

    def _look_at_end(self, name: str, segment: Segment) -> None:
        """A segment is closed behind a whole record."""
        size = segment.size()
        if not size:
            self.note(f"{name}/{segment.entry}", EMPTY)
        elif segment.pread(1, size - 1) != b"\n":
            self.note(f"{name}/{segment.entry}", CUT_OFF)


def _said(error: OSError) -> str:
    return str(error.strerror).removeprefix("damaged segment: ")


def is_damage(error: OSError) -> bool:
    """Of the file, or of the disk below it: there is no reading it by trying again, or as somebody else."""
    return error.errno == errno.EIO
