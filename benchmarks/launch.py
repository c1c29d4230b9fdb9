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
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import datetime

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
rootfs = "rootfs"
rootfs_mode = "read-only"
command = ["/bin/true"]
restart = "never"
"""


def make_root(folder: str) -> None:
    """A root directory with one static program, and the folders that runtimes mount over."""
    for name in ROOTFS_FOLDERS:
        os.makedirs(f"{folder}/rootfs/{name}")
    busybox = subprocess.run(
        [f"{PROJECT}/tests/setup", "busybox"], check=True, capture_output=True, text=True
    )
    shutil.copy(f"{busybox.stdout.strip()}/busybox", f"{folder}/rootfs/bin/true")


class Ours:
    """A supervisor of its own; its records say how long a run took."""

    def __init__(self, folder: str) -> None:
        # On tmpfs, as the default is.
        self.where = f"{'/run' if os.path.ismount('/run') else '/dev/shm'}/{os.path.basename(folder)}"
        self.program = [sys.executable, "-m", "supervisor"]
        self.records = os.path.join(folder, "logs/supervisor/current.jsonl")
        self.read = 0
        with open(os.path.join(folder, "bench.toml"), "w", encoding="utf-8") as file:
            file.write(CONFIGURATION.format(runtime_dir=self.where))
        subprocess.run(
            [*self.program, "start", os.path.join(folder, "bench.toml"), "--detach"], check=True, cwd=PROJECT
        )
        self._last_run()

    def cycle(self) -> float:
        Call(self.where, "POST", "/v1/containers/true/start", timeout=30).value()
        return self._last_run()

    def _last_run(self) -> float:
        """Seconds from container.starting to container.exited of the run that has just been asked for."""
        began = ended = 0.0
        while not ended:
            time.sleep(0.002)
            with open(self.records, encoding="utf-8") as file:
                file.seek(self.read)
                lines = file.readlines()
            for record in (json.loads(line) for line in lines if line.endswith("\n")):
                when = datetime.fromisoformat(record["ts"]).timestamp()
                if record["event"] == "container.starting":
                    began = when
                elif record["event"] == "container.exited":
                    ended = when
        self.read = os.path.getsize(self.records)
        return ended - began

    def close(self) -> None:
        subprocess.run([*self.program, "--runtime-dir", self.where, "stop"], check=True, cwd=PROJECT)
        shutil.rmtree(self.where)


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
