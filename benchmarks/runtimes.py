"""What launches a container and leaves it alone: crun, runc, bwrap. They start and stop; nobody supervises."""

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import proc
from benchmarks.instance import PROJECT
from benchmarks.oci import specification
from benchmarks.peers import AbsentError, Place

#: Started so many at a time.
AT_ONCE = os.cpu_count() or 1


class _Oci:
    """`NAME run --detach` of the same confinement as ours, one after the other in AT_ONCE threads."""

    name = ""
    options: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.place: Place
        self.ids: list[str] = []
        self.before: set[int] = set()

    def begin(self, place: Place, count: int) -> None:
        if not shutil.which(self.name):
            raise AbsentError(f"{self.name} is not installed")
        self.place = place
        self.ids = [f"bench-{os.getpid()}-{number}" for number in range(count)]
        bundle = f"{place.folder}/{self.name}"
        os.makedirs(bundle)
        with open(f"{bundle}/config.json", "w", encoding="utf-8") as file:
            json.dump(_specification(place), file)
        try:
            self._each("run", "--detach", *self.options, "--bundle", bundle)
        except subprocess.CalledProcessError:
            self.end()
            raise

    def _each(self, *words: str) -> None:
        command = [self.name, "--root", f"{self.place.folder}/state", *words, "{}"]
        shares = [self.ids[first::AT_ONCE] for first in range(AT_ONCE)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            list(pool.map(lambda share: _feed(command, share), [share for share in shares if share]))

    def services(self) -> list[int]:
        return []

    def own(self) -> list[int]:
        """Nothing stays behind but the containers."""
        return []

    def end(self) -> None:
        self._each("delete", "--force")


def _feed(command: list[str], ids: list[str]) -> None:
    """Run the command for each id, where the v2 cgroups are shown alone (benchmarks.oci)."""
    subprocess.run(
        [sys.executable, "-m", "benchmarks.oci", *command], input="".join(f"{one}\n" for one in ids),
        check=True, stdout=subprocess.DEVNULL, text=True, cwd=PROJECT,
    )  # fmt: skip


def _specification(place: Place) -> dict[str, Any]:
    found = specification(f"{place.folder}/root", ["/bin/beacon", "/told/beacon"])
    told = os.path.dirname(place.fifo)
    found["mounts"].append(
        {"destination": "/told", "type": "bind", "source": told, "options": ["bind", "rw"]}
    )
    return found


class Crun(_Oci):
    name = "crun"


class Runc(_Oci):
    name = "runc"
    options = (
        "--no-new-keyring",
    )  # it makes one as the container's root, who may have 200 (kernel.keys.maxkeys)


class Bwrap:
    """`bwrap --unshare-all`: no cgroup, ids or filter of its own."""

    name = "bwrap"

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    def begin(self, place: Place, count: int) -> None:
        if not shutil.which("bwrap"):
            raise AbsentError("bwrap is not installed")
        told = os.path.dirname(place.fifo)
        command = [
            "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", f"{place.folder}/root", "/", "--proc", "/proc",
            "--dev", "/dev", "--bind", told, "/told", "/bin/beacon", "/told/beacon",
        ]  # fmt: skip
        self.processes = [
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            for _ in range(count)
        ]

    def services(self) -> list[int]:
        return []

    def own(self) -> list[int]:
        """It stays: outside as the parent, inside as PID 1."""
        found = []
        for process in self.processes:
            found += [process.pid, *proc.children(process.pid)]
        return found

    def end(self) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
