"""Holds of one line without end: it is on record to its last byte, in pieces that are numbered without a gap; who captures it
keeps no more of it in memory than a pipe holds, a few times over; and nobody else's line waits for its end.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.killing import daemon
from tests.support.numbers import Record, records
from tests.support.provide import INSIDE_MACHINE
from tests.support.running import Running, Supervise, shell

pytestmark = pytest.mark.kernel

MEBI = 1 << 20
SIZE = (8 if INSIDE_MACHINE else 1024) * MEBI
#: Of the daemon's memory at its peak, what the line may be the cause of: a pipe of 1 MiB, its records and their copies.
ROOM = 8 * MEBI
#: A line in two halves; between them it waits for a word.
ENDLESS = """
mkfifo /tmp/go
head -c HALF /dev/zero | FILTER
read -r go </tmp/go
head -c HALF /dev/zero | FILTER
echo
"""
#: It holds its FIFO open for writing too: opened anew for each word, it could be opened while the last word's writer
#: has not closed it yet, and read an end there.
BESIDE = "mkfifo /tmp/go; exec <>/tmp/go; while read -r word; do echo $word; done"
FILTERS = {"x": "tr '\\0' x", "\0": "cat"}


@pytest.mark.parametrize(("byte", "size"), [("x", SIZE), ("\0", SIZE // 64)])
def test_a_line_without_end_takes_little_memory_and_delays_nobody(
    supervise: Supervise, byte: str, size: int
) -> None:
    endless = ENDLESS.replace("HALF", str(size // 2)).replace("FILTER", FILTERS[byte])
    logs = {"segment": "64MiB", "keep": "1TiB", "compress": "none"}
    running = supervise({"beside": shell(BESIDE), "endless": shell(endless)}, settings={"logs": logs})
    pid = daemon(running)
    before = peak(pid, anew=True)
    say(running, "beside", "while it flows")
    running.line("beside", "while it flows")
    written = (size // 2 - MEBI) * len(json.dumps(byte)[1:-1])
    running.until(lambda: taken(running) > written, "most of the first half")
    say(running, "beside", "while it waits")
    running.line("beside", "while it waits")
    assert not running.events("container.exited", "endless"), "it is not at its end"
    say(running, "endless", "go")
    running.state("endless", "exited")
    assert daemon(running) == pid
    grown = peak(pid) - before
    print(f"{size} bytes: {grown} of memory")
    assert grown < ROOM
    assert length(records(running.log_dir / "endless"), byte) == size


def say(running: Running, name: str, word: str) -> None:
    pid = running.state(name, "running")["pid"]
    fifo = Path(f"/proc/{pid}/root/tmp/go")
    running.until(fifo.exists, f"{name} listens")
    fifo.write_text(f"{word}\n")


def peak(pid: int, *, anew: bool = False) -> int:
    """Bytes of memory at its peak (VmHWM of proc_pid_status(5)), which `anew` makes what it has now."""
    if anew:
        Path(f"/proc/{pid}/clear_refs").write_text("5")
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def taken(running: Running) -> int:
    """Bytes of the records of the line."""
    found = 0
    with suppress(FileNotFoundError):  # closed meanwhile
        for file in (running.log_dir / "endless").glob("*.jsonl"):
            found += file.stat().st_size
    return found


def length(pieces: Iterator[Record], byte: str) -> int:
    """Of the one line that they are."""
    found = number = 0
    whole = False
    for number, piece in enumerate(pieces, 1):
        assert not whole, "it has ended"
        assert (piece["stream"], piece["run"], piece["seq"]) == ("stdout", 1, number)
        assert piece["line"] == byte * len(piece["line"])
        found += len(piece["line"])
        whole = not piece.get("partial", False)
    assert whole
    return found
