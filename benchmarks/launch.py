"""python -m benchmarks.launch [ROUNDS]   the whole cycle of /bin/true in a fully confined container.

In turn, so that all meet the same machine: ours (the decision to start, the launch, the exit, the
decision about it: from the first record to the last), `crun run` of the same confinement,
`bwrap --unshare-all`, and a bare fork and exec. Each after a pause, as containers start, and back
to back. Medians; exit 1 when ours takes more than LIMIT of crun's.

crun understands no hybrid cgroups: on such a host it runs in a mount namespace of its own that shows
it the v2 tree alone.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

from benchmarks.instance import PROJECT, Instance, instance
from benchmarks.oci import specification

LIMIT = 0.8
PAUSE = 0.05
TABLES = """
[container.true]
rootfs = "rootfs"
rootfs_mode = "read-only"
command = ["/bin/true"]
restart = "never"
"""


class Ours:
    """The records of a supervisor of its own say how long a run took."""

    def __init__(self, one: Instance) -> None:
        self.one = one
        self.read = 0
        self._last_run()

    def cycle(self) -> float:
        self.one.ask("POST", "/v1/containers/true/start")
        return self._last_run()

    def _last_run(self) -> float:
        """Seconds from container.starting to container.exited of the run that has just been asked for."""
        began = ended = 0.0
        while not ended:
            time.sleep(0.002)
            with open(self.one.records, encoding="utf-8") as file:
                file.seek(self.read)
                lines = file.readlines()
            for record in (json.loads(line) for line in lines if line.endswith("\n")):
                when = datetime.fromisoformat(record["ts"]).timestamp()
                if record["event"] == "container.starting":
                    began = when
                elif record["event"] == "container.exited":
                    ended = when
        self.read = os.path.getsize(self.one.records)
        return ended - began


class Crun:
    """`crun run` of the same confinement, by a process that shows it the v2 cgroups alone."""

    def __init__(self, folder: str) -> None:
        bundle = os.path.join(folder, "bundle")
        os.makedirs(bundle)
        with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(specification(f"{folder}/rootfs", ["/bin/true"]), file)
        run = ["crun", "--root", f"{folder}/crun", "run", "--bundle", bundle, f"bench-{os.getpid()}"]
        self.runner = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.oci", *run],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
        )  # fmt: skip

    def cycle(self) -> float:
        assert self.runner.stdin
        assert self.runner.stdout
        self.runner.stdin.write("\n")
        self.runner.stdin.flush()
        return float(self.runner.stdout.readline())

    def close(self) -> None:
        self.runner.communicate()


def bwrap(folder: str) -> Callable[[], float]:
    command = [
        "bwrap",
        "--unshare-all",
        "--ro-bind",
        f"{folder}/rootfs",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    return lambda: _run([*command, "/bin/true"])


def bare(folder: str) -> Callable[[], float]:
    return lambda: _run([f"{folder}/rootfs/bin/true"])


def _run(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return time.perf_counter() - began


def measure(cycles: dict[str, Callable[[], float]], rounds: int, pause: float) -> dict[str, float]:
    """Median milliseconds of each, taken in turn."""
    spans: dict[str, list[float]] = {name: [] for name in cycles}
    for _ in range(rounds):
        for name, cycle in cycles.items():
            time.sleep(pause)
            spans[name].append(cycle() * 1000)
    return {name: statistics.median(taken) for name, taken in spans.items()}


def compare(cycles: dict[str, Callable[[], float]], rounds: int) -> int:
    failed = 0
    for title, pause in (("after a pause of 50 ms", PAUSE), ("back to back", 0.0)):
        found = measure(cycles, rounds, pause)
        print(f"{title}, median of {rounds}:")
        for name, taken in found.items():
            print(f"  {name:<24}{taken:7.2f} ms   {taken / found['crun run']:5.2f} x crun")
        failed |= found["supervisor"] > LIMIT * found["crun run"]
    return failed


def main(rounds: int = 100) -> int:
    with instance(TABLES, root=True) as one, closing(Crun(one.folder)) as crun:
        cycles = {"supervisor": Ours(one).cycle, "crun run": crun.cycle}
        if shutil.which("bwrap"):
            cycles["bwrap --unshare-all"] = bwrap(one.folder)
        cycles["fork and exec, no box"] = bare(one.folder)
        return compare(cycles, rounds)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
