"""Supervisors that the benchmarks compare with, each as its own documentation has it run, and ours.

Each supervises `count` beacons (benchmarks.beacon) and restarts one that ends. The others confine nothing.
Each is skipped, with a word why, where it is not installed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Protocol

from benchmarks import packages, proc
from benchmarks.instance import Instance, instance

PATIENCE = 120.0


class AbsentError(Exception):
    """It cannot be measured here; the text says why."""


class Place:
    """A folder with `bin/beacon` and the FIFO `told/beacon`, for one run of one peer."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.program = f"{folder}/bin/beacon"
        self.fifo = f"{folder}/told/beacon"


class Peer(Protocol):
    """Once: `begin`, then the others, then `end`, after which nothing of it runs."""

    name: str

    def begin(self, place: Place, count: int) -> None:
        """Start it; it starts the services. Raises AbsentError, or CalledProcessError and then nothing of it runs."""

    def services(self) -> list[int]: ...

    def own(self) -> list[int]:
        """The PIDs of all it consists of, services not included."""

    def end(self) -> None: ...


class _Tree:
    """A peer that is a process and its descendants."""

    name = ""

    def __init__(self) -> None:
        self.place: Place
        self.process: subprocess.Popen[bytes]

    def spawn(self, *command: str, cwd: str) -> None:
        self.process = subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _split(self) -> tuple[list[int], list[int]]:
        """Its own processes, and the services."""
        found = [self.process.pid, *proc.descendants(self.process.pid)]
        services = [pid for pid in found if proc.executable(pid).startswith(self.place.folder)]
        return [pid for pid in found if pid not in set(services)], services

    def services(self) -> list[int]:
        return self._split()[1]

    def own(self) -> list[int]:
        return self._split()[0]

    def finish(self, number: int = signal.SIGTERM) -> None:
        """Ask it to end, and wait for all of it."""
        pids = [self.process.pid, *proc.descendants(self.process.pid)]
        self.process.send_signal(number)
        try:
            self.process.wait(PATIENCE)
            self.gone(pids)
        finally:
            for pid in pids:
                if proc.alive(pid):
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

    def gone(self, pids: list[int]) -> None:
        end = time.monotonic() + PATIENCE
        while any(map(proc.alive, pids)):
            if time.monotonic() > end:
                raise TimeoutError(f"{self.name} left processes")
            time.sleep(0.005)


class Runit(_Tree):
    name = "runit"

    def begin(self, place: Place, count: int) -> None:
        self.place = place
        _need("runsvdir", "runsv")
        _service_folders(place, count)
        self.spawn("runsvdir", f"{place.folder}/services", cwd=place.folder)

    def end(self) -> None:
        self.finish(signal.SIGHUP)  # runsvdir(8): TERM to every runsv, which stops its service


class S6(_Tree):
    name = "s6"

    def begin(self, place: Place, count: int) -> None:
        self.place = place
        _need("s6-svscan", "s6-supervise")
        _service_folders(place, count)
        self.spawn("s6-svscan", "-c", "5000", f"{place.folder}/services", cwd=place.folder)

    def end(self) -> None:
        self.finish()


def _service_folders(place: Place, count: int) -> None:
    """NAME/run is the service itself, no script: it finds the FIFO beside it. s6 names the folder to it."""
    for number in range(count):
        folder = f"{place.folder}/services/{number}"
        os.makedirs(folder)
        os.link(place.program, f"{folder}/run")
        for name in ("beacon", str(number)):
            os.symlink(place.fifo, f"{folder}/{name}")


class Supervisord(_Tree):
    name = "supervisord"

    def begin(self, place: Place, count: int) -> None:
        self.place = place
        program = _venv("supervisord")
        with open(f"{place.folder}/peer.conf", "w", encoding="utf-8") as file:
            file.write(
                f"[supervisord]\nnodaemon=true\nuser=root\nminfds={4 * count + 100}\nchildlogdir={place.folder}\n"
                f"logfile={place.folder}/log\npidfile={place.folder}/pid\n[program:beacon]\n"
                f"command={place.program} {place.fifo}\nnumprocs={count}\nautorestart=true\n"
                "process_name=%(program_name)s_%(process_num)d\n"
            )
        self.spawn(program, "-c", f"{place.folder}/peer.conf", cwd=place.folder)

    def end(self) -> None:
        self.finish()


class Circus(_Tree):
    name = "circus"

    def begin(self, place: Place, count: int) -> None:
        self.place = place
        program = _venv("circusd")
        with open(f"{place.folder}/peer.ini", "w", encoding="utf-8") as file:
            file.write(
                f"[circus]\nendpoint=ipc://{place.folder}/e\npubsub_endpoint=ipc://{place.folder}/p\n"
                f"[watcher:beacon]\ncmd={place.program} {place.fifo}\nnumprocesses={count}\n"
            )
        self.spawn(program, f"{place.folder}/peer.ini", cwd=place.folder)

    def end(self) -> None:
        self.finish()


def _need(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            raise AbsentError(f"{program} is not installed")


def _venv(program: str) -> str:
    folder, why = packages.peers()
    if folder is None:
        raise AbsentError(why)
    return f"{folder}/bin/{program}"


_TABLES = """
[defaults]
rootfs = "{root}"
command = ["/bin/beacon", "/told/beacon"]
restart = {{ policy = "always", backoff = {{ initial = "0s" }} }}
[[defaults.mounts]]
type = "bind"
source = "{told}"
target = "/told"
[container.beacon]
replicas = {count}
cgroup.cpu.max = "10%"
"""


class Ours:
    """Every container with all of the default's confinement, and cpu.max."""

    name = "supervisor"

    def __init__(self) -> None:
        self.one: Instance

    def begin(self, place: Place, count: int) -> None:
        told = os.path.dirname(place.fifo)
        tables = _TABLES.format(root=f"{place.folder}/root", told=told, count=count)
        self._held = instance(tables, started=False)
        self.one = self._held.__enter__()
        try:
            self.one.start()
        except subprocess.CalledProcessError:
            self._held.__exit__(None, None, None)
            raise

    def services(self) -> list[int]:
        return [one["pid"] for one in self.one.containers() if one["pid"]]

    def own(self) -> list[int]:
        helper = self.one.halves()[0]
        services = set(self.services())
        return [pid for pid in (helper, *proc.descendants(helper)) if pid not in services]

    def end(self) -> None:
        self.one.stop()
        self._held.__exit__(None, None, None)


PEERS: tuple[type[Peer], ...] = (Ours, Runit, S6, Supervisord, Circus)

if __name__ == "__main__":
    sys.exit("run python -m benchmarks")
