"""A supervisor of a benchmark's own, in a folder that goes with it: started, asked and stopped as a user would.

Laws: whatever a benchmark does, its instance is stopped and its folder removed at the end. The runtime
directory is on tmpfs, as the default is, wherever there is one.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from benchmarks import proc
from supervisor.api.call import Call

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: Of a root directory: what runtimes mount over, and one for programs.
ROOT_FOLDERS = ("bin", "dev", "etc", "proc", "sys", "tmp")
_SETTINGS = """
[supervisor]
runtime_dir = "{runtime_dir}"
logs.dir = "logs"
"""


class Instance:
    """`program` is `supervisor` as it would be typed."""

    def __init__(self, folder: str, tables: str) -> None:
        self.folder = folder
        self.runtime_dir = f"{_tmpfs()}/{os.path.basename(folder)}"
        self.config = f"{folder}/bench.toml"
        self.records = f"{folder}/logs/supervisor/current.jsonl"
        script = os.path.join(os.path.dirname(sys.executable), "supervisor")
        self.program = [script] if os.path.exists(script) else [sys.executable, "-m", "supervisor"]
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(_SETTINGS.format(runtime_dir=self.runtime_dir) + tables)

    def start(self) -> float:
        """Returns once every container has been started: the seconds that took, program start included."""
        began = time.perf_counter()
        subprocess.run([*self.program, "start", self.config, "--detach"], check=True, cwd=PROJECT)
        return time.perf_counter() - began

    def stop(self) -> float:
        """The whole supervisor; seconds."""
        began = time.perf_counter()
        self.run("stop")
        return time.perf_counter() - began

    def run(self, *words: str) -> str:
        """A command of this instance; what it prints."""
        command = [*self.program, "--runtime-dir", self.runtime_dir, *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=PROJECT).stdout

    def ask(self, method: str, target: str, timeout: float = 60.0) -> Any:
        return Call(self.runtime_dir, method, target, timeout=timeout).value()

    def containers(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", "/v1/containers")
        return found

    def halves(self) -> tuple[int, int]:
        """PIDs of the helper and of the unprivileged half."""
        helper: int = self.ask("GET", "/v1/info")["pid"]
        return helper, next(pid for pid in proc.children(helper) if b"supervisor.daemon" in proc.command(pid))

    def told(self) -> list[dict[str, Any]]:
        """All of the supervisor's records so far."""
        with open(self.records, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    @property
    def subtree(self) -> str:
        """The name of its cgroup in every hierarchy."""
        return f"supervisor-{hashlib.sha256(self.runtime_dir.encode()).hexdigest()[:8]}"

    def crash(self) -> None:
        """SIGKILL of both halves at once."""
        for pid in self.halves():
            os.kill(pid, signal.SIGKILL)

    def end(self) -> None:
        """Whatever state it is in: nothing of it is left."""
        if os.path.exists(f"{self.runtime_dir}/api.sock"):
            with suppress(subprocess.CalledProcessError):
                self.run("stop")
        shutil.rmtree(self.runtime_dir, ignore_errors=True)


@contextmanager
def instance(tables: str, *, started: bool = True, root: bool = False) -> Iterator[Instance]:
    """`tables` are TOML, to come after [supervisor] (without runtime_dir and logs.dir). With `root` there is a
    root directory beside the file, `rootfs`, whose programs are a static busybox's.
    """
    # Not below a folder that only root may enter: the unprivileged half writes its logs there.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.chmod(folder, 0o755)
        if root:
            make_root(f"{folder}/rootfs")
        found = Instance(folder, tables)
        try:
            if started:
                found.start()
            yield found
        finally:
            found.end()


def make_root(folder: str) -> None:
    """A root directory with a static busybox, and the folders that runtimes mount over."""
    for name in ROOT_FOLDERS:
        os.makedirs(f"{folder}/{name}")
    busybox = subprocess.run(
        [f"{PROJECT}/tests/setup", "busybox"], check=True, capture_output=True, text=True
    ).stdout.strip()
    shutil.copy(f"{busybox}/busybox", f"{folder}/bin/busybox")
    for name in ("true", "sleep", "sh", "cat"):
        os.link(f"{folder}/bin/busybox", f"{folder}/bin/{name}")


def _tmpfs() -> str:
    return "/run" if os.path.ismount("/run") else "/dev/shm"
