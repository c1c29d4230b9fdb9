"""python -m benchmarks.launch [ROUNDS]   the whole cycle of /bin/true in a fully confined container.

In turn, so that all meet the same machine: ours (a request to start, the launch, the exit, the
decision, its records on disk: from the request to the record read back), `crun run` of the same
confinement, `bwrap --unshare-all`, and a bare fork and exec. Each after a pause, as containers start,
and back to back. Medians; exit 1 when ours takes more than LIMIT of crun's.

crun understands no hybrid cgroups: on such a host it runs in a mount namespace of its own that shows
it the v2 tree alone.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

from benchmarks.oci import ROOTFS_FOLDERS, specification
from supervisor.api.call import Call

LIMIT = 0.8
PAUSE = 0.05
PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CONFIGURATION = """
[supervisor]
runtime_dir = "{runtime_dir}"
logs.dir = "logs"
[container.true]
rootfs = "root"
rootfs_mode = "read-only"
command = ["/bin/true"]
restart = "never"
"""


def make_root(folder: str) -> None:
    """A root directory with one static program, and the folders that runtimes mount over."""
    for name in ROOTFS_FOLDERS:
        os.makedirs(f"{folder}/root/{name}")
    busybox = subprocess.run(
        [f"{PROJECT}/tests/setup", "busybox"], check=True, capture_output=True, text=True
    )
    shutil.copy(f"{busybox.stdout.strip()}/busybox", f"{folder}/root/bin/true")


class Ours:
    """A supervisor of its own, and the records that tell of its container."""

    def __init__(self, folder: str) -> None:
        # On tmpfs, as the default is.
        self.where = f"/run/{os.path.basename(folder)}" if os.path.ismount("/run") else f"/dev/shm/{os.path.basename(folder)}"
        self.program = [sys.executable, "-m", "supervisor"]
        with open(os.path.join(folder, "bench.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(runtime_dir=self.where))
        subprocess.run(
            [*self.program, "start", os.path.join(folder, "bench.toml"), "--detach"], check=True, cwd=PROJECT
        )
        self.events = self._follow()
        self._await_end()

    def _follow(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, Call(self.where, "GET", "/v1/events?follow=true", timeout=30).lines())

    def _await_end(self) -> None:
        next(one for one in self.events if one["event"] == "container.exited")

    def cycle(self) -> None:
        Call(self.where, "POST", "/v1/containers/true/start", timeout=30).value()
        self._await_end()

    def close(self) -> None:
        subprocess.run([*self.program, "--runtime-dir", self.where, "stop"], check=True, cwd=PROJECT)
        shutil.rmtree(self.where)


class Crun:
    """`crun run` of the same confinement, by a process that shows it the v2 cgroups alone."""

    def __init__(self, folder: str) -> None:
        bundle = os.path.join(folder, "bundle")
        os.makedirs(bundle)
        with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(specification(f"{folder}/root", ["/bin/true"]), file)
        run = ["crun", "--root", f"{folder}/crun", "run", "--bundle", bundle, f"bench-{os.getpid()}"]
        self.runner = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.oci", *run],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=PROJECT,
        )  # fmt: skip

    def cycle(self) -> None:
        assert self.runner.stdin
        assert self.runner.stdout
        self.runner.stdin.write("\n")
        self.runner.stdin.flush()
        if not self.runner.stdout.readline():
            raise subprocess.CalledProcessError(1, "crun")

    def close(self) -> None:
        self.runner.communicate()


def bwrap(folder: str) -> Callable[[], None]:
    command = [
        "bwrap",
        "--unshare-all",
        "--ro-bind",
        f"{folder}/root",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
    ]
    return lambda: _run([*command, "/bin/true"])


def bare(folder: str) -> Callable[[], None]:
    return lambda: _run([f"{folder}/root/bin/true"])


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def measure(cycles: dict[str, Callable[[], None]], rounds: int, pause: float) -> dict[str, float]:
    """Median milliseconds of each, taken in turn."""
    spans: dict[str, list[float]] = {name: [] for name in cycles}
    for _ in range(rounds):
        for name, cycle in cycles.items():
            time.sleep(pause)
            began = time.perf_counter()
            cycle()
            spans[name].append((time.perf_counter() - began) * 1000)
    return {name: statistics.median(taken) for name, taken in spans.items()}


def compare(cycles: dict[str, Callable[[], None]], rounds: int) -> int:
    failed = 0
    for title, pause in (("after a pause of 50 ms", PAUSE), ("back to back", 0.0)):
        found = measure(cycles, rounds, pause)
        print(f"{title}, median of {rounds}:")
        for name, taken in found.items():
            print(f"  {name:<24}{taken:7.2f} ms   {taken / found['crun run']:5.2f} x crun")
        failed |= found["supervisor"] > LIMIT * found["crun run"]
    return failed


def main(rounds: int = 100) -> int:
    # Not below a folder that only root may enter: the unprivileged half writes its logs there.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.chmod(folder, 0o755)
        make_root(folder)
        with closing(Crun(folder)) as crun, closing(Ours(folder)) as ours:
            cycles = {"supervisor": ours.cycle, "crun run": crun.cycle}
            if shutil.which("bwrap"):
                cycles["bwrap --unshare-all"] = bwrap(folder)
            cycles["fork and exec, no box"] = bare(folder)
            return compare(cycles, rounds)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
