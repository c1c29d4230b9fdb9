"""Holds of a running supervisor's logs: closed segments are compressed and dropped by the account of the unprivileged
half, and what is kept has every line once and in order, whoever was killed meanwhile.
"""

import contextlib
import json
import os
import shutil
import subprocess
from typing import Any

import pytest

from supervisor.api.call import Call
from tests.support.killing import kill_daemon
from tests.support.running import Running, Supervise, shell

pytestmark = pytest.mark.kernel

COUNTING = 'n=0; while [ "$n" -lt {count} ]; do echo "$n"; n=$((n+1)); done; exec sleep 100000'
COUNT = 60_000
TOOLS = {".zst": ("zstd", "-dcq"), ".gz": ("gzip", "-dc"), ".jsonl": ("cat",)}


def closed(running: Running, name: str) -> list[str]:
    return sorted(
        each
        for each in os.listdir(running.log_dir / name)
        if each != "current.jsonl" and each.endswith((".jsonl", ".jsonl.zst", ".jsonl.gz"))
    )


def size(running: Running, name: str) -> int:
    """Bytes of its closed segments, which may be much smaller than they are allowed to be."""
    with contextlib.suppress(FileNotFoundError):  # dropped just now
        return sum((running.log_dir / name / each).stat().st_size for each in closed(running, name))
    return 1 << 30


def lines(running: Running, name: str) -> list[str]:
    """Of everything that is on record, by the tools that everybody has, while nothing is closed or compressed."""
    found = []
    for entry in (*closed(running, name), "current.jsonl"):
        tool = TOOLS[os.path.splitext(entry)[1]]
        text = subprocess.run([*tool, running.log_dir / name / entry], check=True, capture_output=True).stdout
        found += [json.loads(line)["line"] for line in text.splitlines()]
    return found


def all_is_there(running: Running, name: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return f'"line":"{COUNT - 1}"'.encode() in (running.log_dir / name / "current.jsonl").read_bytes()
    return False


def settled(running: Running, name: str, suffix: str) -> bool:
    entries = closed(running, name)
    return len(entries) > 1 and all(each.endswith(suffix) for each in entries)


@pytest.mark.parametrize(("word", "suffix"), [("zstd", ".jsonl.zst"), ("gzip", ".jsonl.gz")])
def test_closed_segments_are_compressed_while_daemons_are_killed(
    supervise: Supervise, word: str, suffix: str
) -> None:
    if shutil.which(TOOLS[os.path.splitext(suffix)[1]][0]) is None:
        pytest.skip(f"no program to read {suffix} here")
    running = supervise(
        {"one": shell(COUNTING.format(count=COUNT))}, settings=logs(segment="64KiB", compress=word)
    )
    for _ in range(3):
        kill_daemon(running)
    running.until(lambda: all_is_there(running, "one"), "all of it")
    running.until(lambda: settled(running, "one", suffix), "compressed")
    assert lines(running, "one") == [str(n) for n in range(COUNT)]
    assert not [each for each in os.listdir(running.log_dir / "one") if each.endswith(".part")]


def test_what_is_over_keep_is_dropped_and_the_rest_has_no_holes(supervise: Supervise) -> None:
    running = supervise(
        {"one": shell(COUNTING.format(count=COUNT))},
        settings=logs(segment="64KiB", keep="256KiB", compress="none"),
    )
    running.event("logs.removed", "one")
    running.until(lambda: all_is_there(running, "one"), "all of it")
    running.until(lambda: size(running, "one") <= 256 << 10, "no more than is to be kept")
    kept = lines(running, "one")
    assert kept == [str(n) for n in range(COUNT)][-len(kept) :]


def test_a_damaged_file_hides_nothing_but_itself_and_is_named(supervise: Supervise) -> None:
    running = supervise(
        {"one": shell(COUNTING.format(count=COUNT))}, settings=logs(segment="64KiB", compress="zstd")
    )
    running.until(lambda: all_is_there(running, "one"), "all of it")
    running.until(lambda: settled(running, "one", ".jsonl.zst"), "compressed")
    damaged = running.log_dir / "one" / closed(running, "one")[1]
    whole = running.done("logs", "one").splitlines()
    damaged.write_bytes(b"rubbish" * 99)
    asked = running.call("logs", "one")
    shown = asked.stdout.splitlines()
    assert (asked.returncode, len(asked.stderr.splitlines())) == (1, 1)
    assert asked.stderr.startswith(f"supervisor: {damaged} is damaged: ")
    assert 0 < len(shown) < len(whole) == COUNT
    assert (shown[0], shown[-1]) == (whole[0], whole[-1])
    asked_by_socket = Call(str(running.runtime_dir), "GET", "/v1/logs?name=one", timeout=60)
    assert len(list(asked_by_socket.lines())) == len(shown)
    running.event("logs.unreadable", "one", file=f"one/{damaged.name}")


def logs(**keys: Any) -> dict[str, Any]:
    return {"logs": keys}
