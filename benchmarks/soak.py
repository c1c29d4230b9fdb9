"""python -m benchmarks.soak [--minutes M] [--containers N] [--seed S]   everything at once, for a long time.

A hundred containers; floods of numbered lines; random kills of daemon, helper, both, a holder with them, and services; operators who restart,
stop and start; files that change; a log disk that is full now and then. Throughout: whoever nobody touched keeps its
process, numbers go on without a gap in every run and stream, and there are no more descriptors, cgroups, FIFOs, mounts or
memory than there should be. In the end every line and exit status is accounted for. Exit 1 at the first that does not hold.
Needs root.
"""

import argparse
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import proc
from tests.support.chaos import Chaos, restless, steady
from tests.support.killing import daemon, helper, holders
from tests.support.numbers import Numbers
from tests.support.running import Running

PACE = "0.5"  # seconds between bursts: what half an hour of floods fills can be read back
DISK = 2 << 30
PULSE = 20.0  # seconds between two looks at everything
MEMORY = 100 << 20  # of helper, daemon and holders together
FILES = 9  # descriptors of the helper for each container, and some for itself
OWN_FILES = 40
OTHERS = 6  # of the containers, those that are not merely there


class Soak(Chaos):
    mounts = 1  # the log disk

    def __init__(self, running: Running, seed: int, count: int) -> None:
        super().__init__(running, seed, count, PACE)
        self.count = count
        self.filler = running.log_dir / "filler"
        self.actions |= {"fill the disk": self._fill, "kill the holder": self._kill_holder}
        self.numbers = [Numbers(running.log_dir / name) for name in ("flood1", "flood2", "told1", "told2")]

    def round(self) -> None:
        self.filler.unlink(missing_ok=True)
        super().round()

    def _fill(self) -> None:
        with suppress(OSError), self.filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))

    def _kill_holder(self) -> None:
        """One of them, whoever else is killed in a moment."""
        os.kill(self.random.choice(holders(self.running)), signal.SIGKILL)

    def pulse(self) -> str:
        """Everything that must hold at any time; what there is to tell."""
        self.filler.unlink(missing_ok=True)
        self.running.until_answering()
        halves = [helper(self.running), daemon(self.running), *holders(self.running)]
        memory = 1024 * sum(proc.memory(pid)["Pss"] for pid in halves)
        files = proc.descriptors(halves[0])
        assert memory <= MEMORY, f"{memory} bytes of memory"
        assert files <= FILES * (self.count + OTHERS) + OWN_FILES, f"{files} descriptors"
        known = set(self.declared) | {"extra"}
        groups = {one.name for one in self.running.cgroups() if one.parent.name == self.running.subtree}
        assert {name for name in groups if not name.startswith("_")} <= known, groups
        assert set(os.listdir(self.running.runtime_dir / "containers")) <= known
        assert not self.running.left_mounts()[self.mounts :], self.running.left_mounts()
        lines = sum(numbers.look() for numbers in self.numbers)
        return f"{sum(self.done.values()) // 2} rounds, {lines} lines, {memory >> 20} MB, {files} descriptors"

    def check(self) -> None:
        self.filler.unlink(missing_ok=True)
        super().check()


@contextmanager
def instance(count: int) -> Iterator[Running]:
    """A supervisor whose logs lie on a small disk of their own."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        logs = {"dir": f"{folder}/logs", "segment": "1GiB"}
        settings = {"restarts_per_second": 1000, "logs": logs}
        running = Running(Path(folder), steady(count, PACE) | restless(PACE), settings, {})
        running.log_dir.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "soak", str(running.log_dir)], check=True
        )
        try:
            running.start()
            yield running
            running.call("stop")
        finally:
            subprocess.run(["umount", "--lazy", str(running.log_dir)], check=False)
            running.clean()


def soak(minutes: float, containers: int, seed: int) -> None:
    """Raises AssertionError, or pytest's Failed, for what does not hold."""
    print(f"seed {seed}: {containers} containers, {minutes:g} minutes", flush=True)
    with instance(containers - OTHERS) as running:
        chaos = Soak(running, seed, containers - OTHERS)
        end = time.monotonic() + minutes * 60
        pulse = time.monotonic()
        while time.monotonic() < end:
            chaos.round()
            if time.monotonic() >= pulse:
                print(f"{max(0.0, end - time.monotonic()):6.0f} s left: {chaos.pulse()}", flush=True)
                pulse = time.monotonic() + PULSE
        print(chaos.pulse())
        chaos.check()
        print(dict(sorted(chaos.done.items())))
    print("every line, exit status and process is accounted for; nothing is left")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--containers", type=int, default=100)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32))
    given = parser.parse_args(arguments)
    if os.geteuid() != 0:
        print("needs root", file=sys.stderr)
        return 1
    soak(given.minutes, given.containers, given.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
