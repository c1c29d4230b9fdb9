"""Numbers in a log: each once and in order in every run and stream, as long as the log may be."""

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, cast

import zstandard

Record = dict[str, Any]
_KINDS = {".jsonl", ".zst", ".gz"}


class Counting:
    """Takes records one after the other. Raises AssertionError for a gap, a repetition, or runs that are mixed up."""

    def __init__(self, what: object) -> None:
        self.what, self.lines = what, 0
        self.last: dict[str, tuple[int, int]] = {}

    def take(self, record: Record) -> None:
        run, stream, seq = record["run"], record["stream"], record["seq"]
        latest, before = self.last.get(stream, (0, 0))
        assert run >= latest, f"{self.what}: {record} after run {latest}"
        wanted = before + 1 if run == latest else 1
        assert seq == wanted == int(record["line"]), f"{self.what}: {record} is not number {wanted}"
        self.last[stream] = run, seq
        self.lines += 1


def records(folder: Path) -> Iterator[Record]:
    """All of a container's, oldest first, from segments of whatever kind. Raises FileNotFoundError when one is closed or
    compressed meanwhile.
    """
    found = {file.name.partition(".jsonl")[0]: file for file in folder.iterdir() if file.suffix in _KINDS}
    for name in sorted(found, key=lambda name: (name == "current", name)):
        with _opened(found[name]) as lines:
            yield from map(json.loads, lines)


def _opened(file: Path) -> IO[bytes]:
    if file.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(file))
    if file.suffix != ".zst":
        return file.open("rb")
    whole = zstandard.ZstdDecompressor().stream_reader(file.open("rb"), read_across_frames=True)
    return io.BufferedReader(cast("io.RawIOBase", whole), 1 << 20)


class Numbers(Counting):
    """Of one container's log folder, whose open segment is never closed: read as it grows.

    Looks no further than the size at the look before: what a killed daemon had not finished is cut back by the next.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder.name)
        self.file = folder / "current.jsonl"
        self.at = self.upto = 0

    def look(self) -> int:
        """The lines so far."""
        if not self.file.exists():
            return 0
        with self.file.open("rb") as file:
            file.seek(self.at)
            data = file.read(self.upto - self.at)
        whole = data.rpartition(b"\n")[0]
        for line in whole.splitlines():
            self.take(json.loads(line))
        self.at += len(whole) + 1 if whole else 0
        self.upto = self.file.stat().st_size
        return self.lines
