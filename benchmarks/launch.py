"""python -m benchmarks.launch [ROUNDS]   the whole cycle of /bin/true in a fully confined container.

In turn, so that all meet the same machine: ours (the decision to start, the launch, the exit, the
decision about it: from the first record to the last), `crun run` and `runc run` of the same confinement,
`bwrap --unshare-all`, and a bare fork and exec. Each after a pause, as containers start, and back
to back. Medians; exit 1 when ours takes more than LIMIT of crun's.

These understand no hybrid cgroups: on such a host they run in a mount namespace of their own that shows
them the v2 tree alone.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import datetime

from benchmarks.instance import PROJECT, Instance, instance
from benchmarks.oci import specification

LIMIT = 0.7
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


class Oci:
    """`crun run` or `runc run` of the same confinement, by a process that shows it the v2 cgroups alone."""

    def __init__(self, name: str, folder: str) -> None:
        bundle = os.path.join(folder, name)
        os.makedirs(bundle)
        with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(specification(f"{folder}/rootfs", ["/bin/true"]), file)
        run = [name, "--root", f"{folder}/state", "run", "--bundle", bundle, f"bench-{os.getpid()}"]
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


def measured(rounds: int = 100) -> dict[str, dict[str, float]]:
    """Median milliseconds, shown as they come, by how often and then by whom."""
    found = {}
    with instance(TABLES, root=True) as one, ExitStack() as held:
        cycles = {"supervisor": Ours(one).cycle}
        for name in filter(shutil.which, ("crun", "runc")):
            cycles[f"{name} run"] = held.enter_context(closing(Oci(name, one.folder))).cycle
        if shutil.which("bwrap"):
            cycles["bwrap --unshare-all"] = bwrap(one.folder)
        cycles["fork and exec, no box"] = bare(one.folder)
        for title, pause in (("after a pause of 50 ms", PAUSE), ("back to back", 0.0)):
            found[title] = measure(cycles, rounds, pause)
            show(title, found[title], rounds)
    return found


def show(title: str, taken: dict[str, float], rounds: int) -> None:
    print(f"{title}, median of {rounds}:")
    crun = taken.get("crun run")
    for name, each in taken.items():
        print(f"  {name:<24}{each:7.2f} ms" + (f"   {each / crun:5.2f} x crun" if crun else ""))


def kept(found: dict[str, dict[str, float]]) -> bool:
    """Whether ours takes no more than LIMIT of crun's, where there is a crun."""
    return all(one["supervisor"] <= LIMIT * one["crun run"] for one in found.values() if one.get("crun run"))


def main(rounds: int = 100) -> int:
    return int(not kept(measured(rounds)))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
