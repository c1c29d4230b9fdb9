"""Holds when the real daemon, which captures the output, is killed at random moments under load: no line is lost, doubled or out of
order, and every segment can be read, by our own program and by everybody's.

Two supervisors are killed in turn: one comes back while the other is killed. The seed is printed; CHAOS_SEED=N takes the same
moments again, KILLS=N more of them.
"""

import json
import os
import random
import secrets
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest

from tests.support.chaos import CAP
from tests.support.killing import daemon, kill_both
from tests.support.numbers import Counting, records
from tests.support.running import Running, Supervise, shell

pytestmark = pytest.mark.kernel

KILLS = int(os.environ.get("KILLS", "10"))
#: A daemon that dies again and again is started later and later; with the helper that is forgotten.
IN_A_ROW = 3

#: Numbers, in bursts, on both streams; asked to end, it says last of all how many there were.
FLOOD = """
trap 'asked=yes' TERM
i=0
while [ -z "$asked" ]; do
    n=0
    while [ $n -lt BURST ]; do
        i=$((i + 1)); n=$((n + 1)); printf 'FORMAT\\n' $i; printf 'FORMAT\\n' $i >&2
    done
    sleep PACE
done
echo end $i; echo end $i >&2
"""
#: What each of them prints: many short lines; few long ones, which fill a pipe in the time that a daemon takes to come.
FLOODS = {"first": ("%d", "50", "0.02"), "second": ("%d", "50", "0.02"), "wide": ("%0900d", "10", "0.04")}
LOGS = {"logs": {"segment": "256KiB", "keep": "1TiB", "compress": "zstd"}}


def flood(form: str, burst: str, pace: str) -> dict[str, Any]:
    script = FLOOD.replace("FORMAT", form).replace("BURST", burst).replace("PACE", pace)
    return shell(script, **CAP, stop={"timeout": "60s"})


def test_killed_at_random_moments_it_loses_doubles_and_moves_no_line(supervise: Supervise) -> None:
    seed = int(os.environ.get("CHAOS_SEED", "0")) or secrets.randbelow(1 << 32)
    print(f"CHAOS_SEED={seed}")
    floods = {name: flood(*how) for name, how in FLOODS.items()}
    both = [supervise(floods, settings=LOGS), supervise(floods, settings=LOGS)]
    pids = [services(running) for running in both]
    done = kill(both, random.Random(seed))
    print(dict(done))
    for running, before in zip(both, pids, strict=True):
        running.until_answering()
        assert services(running) == before
        check(running)


def check(running: Running) -> None:
    """Once nobody is killed any more."""
    running.until(lambda: all(closed(running, name, ".zst") for name in FLOODS), "compressed segments")
    for name in FLOODS:
        running.done("stop", name)
    lines = 0
    for name in FLOODS:
        lines += all_of_it(name, as_printed(running, name))
        running.until(lambda name=name: raw(running, name), f"the segments of {name} are left alone")  # type: ignore[misc]
    events = map(json.loads, running.done("events", "--json").splitlines())  # of compressed segments, too
    told = Counter((one["container"], one["run"]) for one in events if one["event"] == "container.exited")
    assert told == {(name, 1): 1 for name in FLOODS}
    segments = sum(closed(running, name, "") for name in FLOODS)
    print(f"{lines} lines, {segments} closed segments")


def kill(both: list[Running], chance: random.Random) -> Counter[str]:
    """About half of the daemons while they are starting, or before; now and then the helper too."""
    done: Counter[str] = Counter()
    row = [0, 0]
    while done.total() < KILLS:
        which = done.total() % 2
        running = both[which]
        if chance.random() < 0.5:
            running.until_answering()
            time.sleep(chance.uniform(0.0, 0.2))
        else:
            time.sleep(chance.uniform(0.0, 0.6))
        if row[which] == IN_A_ROW or chance.random() < 0.1:
            kill_both(running)
            running.begin()
            done["with the helper"] += 1
            row[which] = 0
        else:
            os.kill(daemon(running), signal.SIGKILL)
            done["alone"] += 1
            row[which] += 1
        if done.total() % 50 == 0:
            print(f"{done.total()} kills", flush=True)
    return done


def services(running: Running) -> dict[str, int]:
    return {name: running.state(name, "running")["pid"] for name in FLOODS}


def closed(running: Running, name: str, suffix: str) -> int:
    found = os.listdir(running.log_dir / name)
    return len([each for each in found if each[:1].isdigit() and each.endswith(suffix)])


def as_printed(running: Running, name: str) -> Iterable[dict[str, Any]]:
    """By `supervisor logs --json`."""
    command = [*running.program, "logs", name, "--json"]
    with subprocess.Popen(
        command, cwd=running.folder, env=running.environment, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        yield from map(json.loads, process.stdout)
    assert process.returncode == 0


def raw(running: Running, name: str) -> int | None:
    """From the files; None when one was compressed meanwhile."""
    with suppress(FileNotFoundError):
        return all_of_it(name, records(running.log_dir / name))
    return None


def all_of_it(name: str, found: Iterable[dict[str, Any]]) -> int:
    """How many lines: each stream's numbers without a gap, and as many as the service says that there were."""
    counting, ends = Counting(name), {}
    for one in found:
        if one["line"].startswith("end "):
            assert one["seq"] == counting.last[one["stream"]][1] + 1
            ends[one["stream"]] = int(one["line"].removeprefix("end "))
        else:
            assert one["stream"] not in ends, one
            counting.take(one)
    assert ends == {stream: last for stream, (_, last) in counting.last.items()}
    assert set(ends) == {"stdout", "stderr"}
    return counting.lines
