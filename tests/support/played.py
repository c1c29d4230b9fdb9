"""A real helper whose daemon is the test: requests are sent as bytes of any kind, reports are read as they come.

The helper starts a small program in the daemon's place; it hands the helper's socket to the test and waits.
"""

import array
import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import supervisor
from supervisor.config.load import load
from supervisor.helper.protocol import Report, Request, decode_report, encode_request
from supervisor.launcher.declaration import Instance, Origin, declare, encode, subtree
from supervisor.launcher.seccomp import compile_filters
from tests.support.running import PATIENCE, Keys, cgroup_mounts, table, until

_HELPER = Path(supervisor.__file__).parent / "helper/__main__.py"
#: It ends when the test lets go of it, or when the helper does.
_STAND_IN = """#!{python} -IS
import os, select, socket, sys
helper = int(sys.argv[4])
with socket.socket(socket.AF_UNIX) as test:
    test.connect({address!r})
    socket.send_fds(test, [b"helper"], [helper])
    os.close(helper)
    test.recv(1)
"""


class Played:
    """One helper. `hear` gives its reports; `names` are the declared containers."""

    def __init__(self, folder: Path, containers: Mapping[str, Keys]) -> None:
        self.short = Path(tempfile.mkdtemp(prefix="modoki-"))
        self.runtime_dir = self.short / "run"
        for name, mode in (("containers", 0o710), ("root", 0o700)):
            (self.runtime_dir / name).mkdir(parents=True, mode=mode)
        self.short.chmod(0o711)
        self.runtime_dir.chmod(0o711)
        configs = folder / "configs"
        configs.mkdir()
        text = [table("supervisor", {"runtime_dir": self.runtime_dir, "logs": {"dir": folder / "logs"}})]
        text += [table(f"container.{name}", keys) for name, keys in containers.items()]
        (configs / "all.toml").write_text("\n".join(text))
        self.configuration = load(f"{configs}/", root=True)
        self.names = [one.name for one in self.configuration.containers]
        self.subtree = subtree(str(self.runtime_dir))
        self.said = folder / "said"
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(str(self.short / "test"))
        self.listening.listen()
        self.listening.settimeout(PATIENCE)
        self.stand_in = self.short / "daemon"
        self.stand_in.write_text(_STAND_IN.format(python=sys.executable, address=str(self.short / "test")))
        self.stand_in.chmod(0o755)
        self.process: subprocess.Popen[bytes] | None = None
        self.leash: socket.socket | None = None  # closing it ends the stand-in
        self.helper = socket.socket()
        self.runs: dict[str, int] = {}
        self.heard: list[Report] = []

    # ── started and stopped ────────────────────────────────────────────────────────────

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Return once the helper has told all that it has to tell."""
        spec = os.memfd_create("spec")
        declared = os.memfd_create("declared")
        os.write(declared, self._declared(spec))
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(_HELPER), str(declared)],
                env=dict(os.environ if environment is None else environment),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                pass_fds=(spec, declared),
                start_new_session=True,
            )
        os.close(spec)
        os.close(declared)
        self.become_daemon()

    def _declared(self, spec: int) -> bytes:
        origin = Origin("configs/", "/", 0o022, "", "")
        instance = Instance(65534, 65534, str(self.stand_in), origin, spec=spec)
        return encode(declare(self.configuration, compile_filters(self.configuration), instance))

    def become_daemon(self) -> None:
        """Take the place of the daemon that the helper has just started."""
        leash, _ = self.listening.accept()
        leash.settimeout(PATIENCE)
        _, descriptors, _, _ = socket.recv_fds(leash, 64, 1)
        self.leash = leash
        self.helper.close()
        self.helper = socket.socket(fileno=descriptors[0])
        self.helper.settimeout(PATIENCE)
        self.until("told")

    def die(self) -> None:
        """As a daemon that is killed."""
        self.helper.close()
        if self.leash is not None:
            self.leash.close()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """By the request; afterwards nothing of it is left."""
        assert self.process is not None
        if self.process.poll() is None:
            self.ask(Request("exit"))
        with contextlib.suppress(OSError):
            while self.helper.recv(1 << 16):
                pass
        self.die()
        assert self.process.wait(PATIENCE) == 0, self.report()
        assert self.cgroups() == [], self.report()

    def clean(self) -> None:
        self.die()
        self.listening.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        for folder in self.cgroups():
            with contextlib.suppress(OSError):
                (folder / "cgroup.kill").write_text("1")
        if self.process is not None:
            self.process.wait()
        for folder in self.cgroups():
            with contextlib.suppress(OSError, pytest.fail.Exception):
                until(lambda folder=folder: "populated 1" not in self._events(folder), "empty", 5)  # type: ignore[misc]
                folder.rmdir()
        shutil.rmtree(self.short, ignore_errors=True)

    @staticmethod
    def _events(folder: Path) -> str:
        file = folder / "cgroup.events"
        return file.read_text() if file.exists() else ""

    def cgroups(self) -> list[Path]:
        """Our folders, deepest first."""
        found = []
        for mount in cgroup_mounts():
            for parent, _, _ in os.walk(mount, topdown=False):
                if self.subtree in Path(parent).parts:
                    found.append(Path(parent))
        return found

    def leaf(self, name: str) -> Path:
        """The v2 cgroup of a container that has been launched."""
        return next(one for one in self.cgroups() if one.name == name and (one / "cgroup.freeze").exists())

    def report(self) -> str:
        said = self.said.read_text(errors="replace")[-6000:] if self.said.exists() else ""
        return "\n".join(["── heard ──", *(str(one) for one in self.heard[-20:]), "── said ──", said])

    # ── asked and heard ────────────────────────────────────────────────────────────────

    def send(self, data: bytes) -> None:
        self.helper.send(data)

    def ask(self, request: Request) -> None:
        self.send(encode_request(request))

    def launch(self, name: str) -> int:
        """Ask for the next run; its number."""
        run = self.runs[name] = self.runs.get(name, 0) + 1
        self.ask(Request("launch", name, run))
        return run

    def hear(self) -> Report:
        """The next report; the descriptor that may come with it is closed."""
        try:
            data, extra, _, _ = self.helper.recvmsg(1 << 16, socket.CMSG_SPACE(4))
        except TimeoutError:
            pytest.fail(f"no report\n{self.report()}")
        for _, _, descriptors in extra:
            for one in array.array("i", descriptors):
                os.close(one)
        if not data:
            raise ConnectionError("the helper is gone")
        report = decode_report(data)
        self.heard.append(report)
        return report

    def until(self, *what: str) -> Report:
        while (report := self.hear()).what not in what:
            pass
        return report

    def settle(self) -> None:
        """Return once it has done with whatever came before."""
        self.send(b"")
        self.until("denied")

    def output(self, name: str, stream: str = "stdout") -> bytes:
        """What the container has written and nobody has read yet."""
        path = self.runtime_dir / "containers" / name / stream
        if not path.exists():
            return b""
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            found = b""
            with contextlib.suppress(BlockingIOError):
                while data := os.read(file, 1 << 16):
                    found += data
            return found
        finally:
            os.close(file)


def descriptors(pid: int) -> dict[str, str]:
    """Of a helper that has its spare network namespace and is making none: while it makes one it has its own open."""
    folder, own = f"/proc/{pid}/fd", os.readlink("/proc/self/ns/net")

    def held() -> dict[str, str]:
        found = {}
        for one in sorted(os.listdir(folder), key=int):
            with contextlib.suppress(FileNotFoundError):
                found[one] = os.readlink(f"{folder}/{one}")
        ready = any(one.startswith("net:") for one in found.values())
        return found if ready and own not in found.values() else {}

    return until(held, "a network namespace is ready")


def status_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


@pytest.fixture
def played(tmp_path: Path) -> Iterator[Callable[..., Played]]:
    made: list[Played] = []

    def begin(containers: Mapping[str, Keys], **keys: Any) -> Played:
        folder = tmp_path / f"helper{len(made) + 1}"
        folder.mkdir()
        made.append(Played(folder, containers))
        made[-1].start(**keys)
        return made[-1]

    try:
        yield begin
        for one in made:
            one.stop()
    finally:
        for one in made:
            one.clean()
