"""python -m benchmarks.logs [LINES] [CONTAINERS]   lines a second, beside programs that put a time in front of each.

LINES of 100 bytes, 2,000,000 by default, printed by one program, then by CONTAINERS programs at once, 100 by
default. For each logger: lines a second from the start of printing to the last write to its files, CPU a line, peak of
resident memory (of all its processes), and whether every line is there. Ours are whole JSON records, and are read
back: every line once, in order. Compression is off, as nobody else compresses.

Then, with one container printing without end, how late a line of another container's is on record, and how
long the status takes. Exit code 1 if a line is missing.
"""

import glob
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from benchmarks import loggers, proc
from benchmarks.instance import Instance, instance
from benchmarks.loggers import LOGGERS, Used

LINE = 100
PROBED = 10.0
SETTLE = 0.5
TABLES = """
logs.compress = "none"
logs.keep = "1TiB"
[defaults]
rootfs = "host"
restart = "never"
userns = "host"
seccomp = "unconfined"
mounts = [{{ type = "bind", source = "{data}", target = "/data", options = ["ro"] }}]
"""
CONTAINER = """
[container.p{number}]
command = {command}
"""


class Figures(NamedTuple):
    """Lines a second, microseconds of CPU a line, MB of memory at most, lines in its files."""

    speed: float
    cpu: float
    peak: float
    lines: int


class Output(msgspec.Struct):
    ts: str
    seq: int
    line: str


_decoder = msgspec.json.Decoder(Output)


@contextmanager
def made(lines: int, programs: int) -> Iterator[list[str]]:
    """A file for each program, numbered lines in each."""
    with tempfile.TemporaryDirectory(prefix="bench-data-") as folder:
        os.chmod(folder, 0o755)
        files = [f"{folder}/{number}" for number in range(programs)]
        for file in files:
            with open(file, "wb") as out:
                for start in range(0, lines // programs, 10_000):
                    numbers = range(start, min(start + 10_000, lines // programs))
                    out.write(b"".join(line(number) for number in numbers))
        yield files


def line(number: int) -> bytes:
    return (
        b"%09d " % number
        + b"the quick brown fox jumps over the lazy dog, and so on until it is full"[: LINE - 11].ljust(
            LINE - 11, b"."
        )
        + b"\n"
    )


def ours(data: Sequence[str]) -> tuple[Used, float, int]:
    """What it took, when the last record was written, and how many lines are on record, each once and in order."""
    folder = os.path.dirname(data[0])
    for file in data:
        loggers.producer(file)
    tables = TABLES.format(data=folder) + "".join(
        CONTAINER.format(number=number, command=json.dumps(["/bin/sh", f"/data/{number}.sh"]))
        for number in range(len(data))
    )
    with instance(tables) as one:
        daemon = one.halves()[1]
        while occurred(one, "container.started") < len(data):
            time.sleep(0.02)
        time.sleep(SETTLE)
        before, began = proc.used(daemon), loggers.begin(data)
        while occurred(one, "container.exited") < len(data):
            time.sleep(0.02)
        used = Used(began, proc.used(daemon) - before, proc.peak(daemon))
        there = sum(in_order(one, number) for number in range(len(data)))
        return used, loggers.last_write(f"{one.folder}/logs/p*/*.jsonl"), there


def occurred(one: Instance, event: str) -> int:
    with open(one.records, "rb") as file:
        return file.read().count(b'"event":"%s"' % event.encode())


def in_order(one: Instance, number: int) -> int:
    """Lines on record from the first on, as long as none is missing, doubled or moved."""
    found = 0
    for path in sorted(
        glob.glob(f"{one.folder}/logs/p{number}/*.jsonl"),
        key=lambda path: (path.endswith("current.jsonl"), path),
    ):
        with open(path, "rb") as file:
            for raw in file:
                record = _decoder.decode(raw)
                if record.seq != found + 1 or record.line != line(found)[:-1].decode():
                    return found
                found += 1
    return found


def compare(lines: int, programs: int) -> dict[str, Figures]:
    """By logger; ours is the last."""
    print(f"{lines:,} lines of {LINE} bytes, from {programs} program{'s' * (programs > 1)} at once")
    print(f"{'':12} {'lines/s':>10} {'CPU µs/line':>12} {'peak MB':>8}   every line")
    results: dict[str, Figures] = {}
    with made(lines, programs) as data:
        for logger in LOGGERS:
            program = logger.found()
            if program is None:
                print(f"{logger.name:12} not installed (tests/setup loggers)")
                continue
            with tempfile.TemporaryDirectory(prefix="bench-log-") as folder:
                used = logger.run(program, folder, data)
                there = sum(map(loggers.count, glob.glob(f"{folder}/{logger.files}")))
                wall = loggers.last_write(f"{folder}/{logger.files}") - used.began
            results[logger.name] = show(logger.name, used, wall, there, lines)
            _again(data)
        used, last, there = ours(data)
        results["supervisor"] = show("supervisor", used, last - used.began, there, lines)
    if "s6-log" in results:
        print(f"supervisor / s6-log: {results['supervisor'].speed / results['s6-log'].speed:.2f}")
    return results


def show(name: str, used: Used, wall: float, there: int, lines: int) -> Figures:
    found = Figures(lines / wall, used.cpu / lines * 1e6, used.peak / 1000, there)
    whole = "yes" if there == lines else f"{there:,}"
    print(f"{name:12} {found.speed:10,.0f} {found.cpu:12.3f} {found.peak:8.1f}   {whole}", flush=True)
    return found


def _again(data: Sequence[str]) -> None:
    os.unlink(os.path.join(os.path.dirname(data[0]), "go"))


def fairness() -> dict[str, list[float]]:
    """One prints as much as it can; another one a line every 100 ms: the time in the line beside that in the record.

    Median and most, in milliseconds.
    """
    tables = TABLES.format(data="/usr").replace('"none"', '"zstd"').replace("1TiB", "256MiB")
    tables += CONTAINER.format(
        number=0, command=json.dumps(["/usr/bin/yes", "the quick brown fox jumps over the lazy dog"])
    )
    tables += CONTAINER.format(
        number=1, command=json.dumps(["/bin/sh", "-c", "while :; do date +%s.%N; sleep 0.1; done"])
    )
    with instance(tables) as one:
        until, asked = time.monotonic() + PROBED, []
        while time.monotonic() < until:
            began = time.perf_counter()
            one.containers()
            asked.append(time.perf_counter() - began)
            time.sleep(0.1)
        with open(f"{one.folder}/logs/p1/current.jsonl", "rb") as file:
            late = [lateness(raw) for raw in file]
        flood = sum(os.path.getsize(each) for each in glob.glob(f"{one.folder}/logs/p0/*"))
        peak = proc.peak(one.halves()[1])
    print(
        f"beside one container that prints without end ({PROBED:g} s, peak {peak / 1000:.1f} MB, {flood >> 20} MiB kept):"
    )
    found = {}
    for what, spans in (("a line on record", late), ("status", asked)):
        median, most = found[what] = [statistics.median(spans) * 1000, max(spans) * 1000]
        print(f"  {what:18} median {median:6.1f} ms, latest {most:6.1f} ms, of {len(spans)}")
    return found


def lateness(raw: bytes) -> float:
    record = _decoder.decode(raw)
    return datetime.fromisoformat(record.ts).timestamp() - float(record.line)


def measured(lines: int = 2_000_000, programs: int = 100) -> dict[str, Any]:
    found: dict[str, Any] = {"lines": lines, "programs": {}}
    for count in (1, programs):
        loggers_found = compare(lines // count * count, count)
        found["programs"][str(count)] = {name: one._asdict() for name, one in loggers_found.items()}
        print()
    found["beside a flood"] = fairness()
    return found


def whole(found: dict[str, Any]) -> bool:
    """Whether every line of ours is on record."""
    return all(
        each["supervisor"]["lines"] == found["lines"] // int(count) * int(count)
        for count, each in found["programs"].items()
    )


def main(*numbers: int) -> int:
    return int(not whole(measured(*numbers)))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
