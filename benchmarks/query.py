"""python -m benchmarks.query [GB [DIR]]   how fast records are found: 10 GB of them by default, made below DIR (/var/tmp).

Makes two containers' logs of half the size each, `plain` and `zstd`, in closed segments of 64 MiB that end now and go
back a day. Records are web-server lines, made once in 16 MiB and repeated with times that go on. Then, each as
the whole program from exec to exit:

* `logs NAME --since T -n 100`, T being five minutes before the last record, the median of ten: at most 300 ms;
* `logs NAME --grep WORD` over everything, for a word of one line in about 400,000: at least 300 MB/s of records by the
  processor's time. Beside it, for orientation, a search that ignores case, and one in which no word is sure to occur.

What it made is removed at the end; it needs the disk for it and a quarter more. Exit 1: it is not as fast as that.
"""

import json
import math
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from supervisor.logs import frames
from supervisor.logs.frames import FORMATS, FRAME
from supervisor.logs.stamp import file_stem, stamp

TIMES = 10
DAY = 86400.0
SEGMENT = 64 << 20
#: Of output that is read at once, and so has one time.
CHUNK = 64 << 10
WORD = "deadlock detected"
MOST_MS, LEAST_MB = 300.0, 300.0
#: What is searched for, in which share of the records.
SEARCHES = (
    ("a word", WORD, 1.0),
    ("in any case", f"(?i){WORD.upper()}", 1.0),
    ("no word is sure", r"dead.?lock|\s{9}", 0.1),
)
#: What is asked of the end.
LAST = "--since 5m -n 100"
TS = b"0000-00-00T00:00:00.000000Z"
PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Figure(NamedTuple):
    """Seconds by the wall's clock and by the processor's; what was printed."""

    wall: float
    cpu: float
    lines: int


def chunks(name: str) -> list[bytes]:
    """16 MiB of records in pieces, with a time to be filled in."""
    rng = random.Random(name)
    made: list[bytes] = []
    number = 0
    while len(made) < (16 << 20) // CHUNK:
        lines: list[bytes] = []
        size = 0
        while size < CHUNK:
            number += 1
            lines.append(_record(name, number, rng))
            size += len(lines[-1])
        made.append(b"".join(lines))
    half = made[len(made) // 2]
    made[len(made) // 2] = half.replace(b"GET", WORD.encode(), 1)
    return made


def _record(name: str, number: int, rng: random.Random) -> bytes:
    address = ".".join(str(rng.randrange(256)) for _ in range(4))
    path = f"/api/v1/orders/{rng.randrange(10**9)}?page={rng.randrange(100)}"
    status = rng.choice((200, 200, 200, 204, 301, 404, 500))
    line = f'{address} - - "GET {path} HTTP/1.1" {status} {rng.randrange(10**5)} "Mozilla/5.0 (X11; Linux x86_64)"'
    fields = {
        "ts": TS.decode(), "level": "info", "event": "output", "container": name, "run": 1, "stream": "stdout",
        "seq": number, "line": line,
    }  # fmt: skip
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


def fill(folder: str, name: str, size: int, ends: float) -> int:
    """Segments of a container's, about `size` bytes before compression; how many they are."""
    os.mkdir(f"{folder}/{name}")
    pieces = chunks(name)
    total = sum(map(len, pieces)) * size // (16 << 20)
    at, count, written = ends - DAY, 0, 0
    step = DAY / (size / CHUNK)
    while written < total:
        first, blocks, length = stamp(at), [], 0
        while length < SEGMENT - CHUNK and written + length < total:
            blocks.append(pieces[count % len(pieces)].replace(TS, stamp(at).encode()))
            length += len(blocks[-1])
            count, at = count + 1, at + step
        _write(f"{folder}/{name}/{file_stem(first)}", blocks, compressed=name == "zstd")
        written += length
    return written


def _write(path: str, blocks: list[bytes], *, compressed: bool) -> None:
    form = FORMATS[0]
    with open(path + (form.suffix if compressed else ".jsonl"), "wb") as file:
        each = FRAME // CHUNK
        gathered = (b"".join(blocks[at : at + each]) for at in range(0, len(blocks), each))
        file.writelines(frames.pack(form, gathered) if compressed else gathered)


def asked(folder: str, *arguments: str) -> Figure:
    """`supervisor logs …`, from exec to exit."""
    script = os.path.join(os.path.dirname(sys.executable), "supervisor")
    program = [script] if os.path.exists(script) else [sys.executable, "-m", "supervisor"]
    before, began = _cpu(), time.perf_counter()
    done = subprocess.run(
        [*program, "logs", "--dir", folder, *arguments], check=True, stdout=subprocess.PIPE, cwd=PROJECT
    )
    return Figure(time.perf_counter() - began, _cpu() - before, done.stdout.count(b"\n"))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def made(parent: str, size: int) -> Iterator[tuple[str, float, dict[str, int]]]:
    if shutil.disk_usage(parent).free < size * 1.25:
        raise SystemExit(
            f"{parent} has no room for {size / 1e9:.1f} GB: name another folder, or a smaller size"
        )
    with tempfile.TemporaryDirectory(prefix="bench-query-", dir=parent) as folder:
        os.mkdir(f"{folder}/supervisor")
        began, ends = time.perf_counter(), time.time()
        sizes = {name: fill(folder, name, size // 2, ends) for name in ("plain", "zstd")}
        on_disk = sum(
            os.path.getsize(os.path.join(at, file)) for at, _, files in os.walk(folder) for file in files
        )
        print(
            f"made {sum(sizes.values()) / 1e9:.1f} GB of records, {on_disk / 1e9:.1f} GB on disk, "
            f"in {time.perf_counter() - began:.0f} s"
        )
        yield folder, ends, sizes


def measured(gigabytes: float = 10, parent: str = "/var/tmp") -> dict[str, dict[str, float]]:
    """By how segments are kept: milliseconds of `LAST`, and MB a second of each search."""
    figures: dict[str, dict[str, float]] = {}
    with made(parent, int(gigabytes * 1e9)) as (folder, ends, sizes):
        for name, size in sizes.items():
            last = [asked(folder, name, "--since", f"@{ends - 300}", "-n", "100") for _ in range(TIMES)]
            wall = statistics.median(each.wall for each in last) * 1000
            figures[name] = {LAST: wall if last[0].lines == 100 else math.inf}
            cpu = statistics.median(each.cpu for each in last) * 1000
            print(
                f"{name:6} {LAST}        {wall:7.0f} ms       {last[0].lines} lines ({cpu:.0f} ms of processor)"
            )
            for said, pattern, share in SEARCHES:
                since = ("--since", f"@{ends - DAY * share}")
                found = asked(folder, name, "--grep", pattern, *since)
                rate = size * share / 1e6 / found.cpu
                figures[name][f"--grep, {said}"] = rate
                print(
                    f"{name:6} --grep, {said:16} {rate:7.0f} MB/s a core ({found.wall:.1f} s), {found.lines} lines",
                    flush=True,
                )
    return figures


def kept(figures: dict[str, dict[str, float]]) -> bool:
    return all(
        each[LAST] <= MOST_MS and each[f"--grep, {SEARCHES[0][0]}"] >= LEAST_MB for each in figures.values()
    )


def main(gigabytes: str = "10", *parent: str) -> int:
    return int(not kept(measured(float(gigabytes), *parent)))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
