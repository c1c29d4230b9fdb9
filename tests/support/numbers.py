"""Numbers in a log that grows: read as it grows, each once and in order in every run and stream."""

import json
from pathlib import Path


class Numbers:
    """Of one container's log folder, whose open segment is never closed.

    Looks no further than the size at the look before: what a killed daemon had not finished is cut back by the next.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "current.jsonl"
        self.at = self.upto = self.lines = 0
        self.last: dict[tuple[int, str], int] = {}

    def look(self) -> int:
        """The lines so far. Raises AssertionError for a gap, a repetition, or what is no record."""
        if not self.file.exists():
            return 0
        with self.file.open("rb") as file:
            file.seek(self.at)
            data = file.read(self.upto - self.at)
        whole = data.rpartition(b"\n")[0]
        for line in whole.splitlines():
            self._take(json.loads(line))
        self.at += len(whole) + 1 if whole else 0
        self.upto = self.file.stat().st_size
        return self.lines

    def _take(self, record: dict[str, object]) -> None:
        run, stream, seq = record["run"], record["stream"], record["seq"]
        assert isinstance(run, int)
        before = self.last.get((run, str(stream)), 0)
        assert seq == before + 1 == int(str(record["line"])), f"{self.file}: {record} after {before}"
        self.last[run, str(stream)] = before + 1
        self.lines += 1
