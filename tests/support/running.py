"""A real supervisor, started as a user would start it, asked as a user would ask, and looked after when it is gone.

What `supervise` started is stopped at the end of the test, and then nothing of it may be left: no process, no
cgroup in any hierarchy, no mount, FIFO or socket. However a test ended, the next one begins on a clean machine.
"""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pytest

from supervisor.api.call import Call
from supervisor.errors import RequestError
from tests.support.provide import INSIDE_MACHINE

T = TypeVar("T")
Keys = Mapping[str, Any]
Record = dict[str, Any]

PROGRAM = (sys.executable, "-m", "supervisor")
#: How much longer everything may take inside the emulated machine.
SLOWER = 20 if INSIDE_MACHINE else 1
#: Seconds. Nothing here takes so long, however busy the machine is: what does hangs.
PATIENCE = 300.0 if INSIDE_MACHINE else 120.0


def job(*command: str, **keys: Any) -> dict[str, Any]:
    """A container that runs once."""
    return {"rootfs": "host", "command": list(command), "restart": "never", **keys}


def shell(script: str, **keys: Any) -> dict[str, Any]:
    """A container that runs a script once."""
    return job("/bin/sh", "-c", script, **keys)


def toml(value: object) -> str:
    """JSON's words are TOML's too, but for tables."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{json.dumps(key)} = {toml(item)}' for key, item in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(str(value) if isinstance(value, Path) else value)


def table(head: str, keys: Keys) -> str:
    return "\n".join(
        [f"[{head}]", *(f"{json.dumps(key)} = {toml(value)}" for key, value in keys.items()), ""]
    )


def until(condition: Callable[[], T | None], what: object, seconds: float = PATIENCE) -> T:
    """The one place where tests wait: for the first true value of `condition`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what() if callable(what) else what}")
        time.sleep(0.01)
    return value


def cgroup_mounts() -> list[Path]:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [Path(where) for _, where, kind, *_ in mounts if kind in {"cgroup", "cgroup2"}]


def has_ended(process: Path) -> bool:
    """Whether this folder of /proc is of a zombie (proc(5), state in stat)."""
    return (process / "stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}


def gone(pid: int) -> bool:
    """Ended; whoever is its parent by now reaps it when it likes."""
    try:
        return has_ended(Path(f"/proc/{pid}"))
    except (FileNotFoundError, ProcessLookupError):
        return True


def same(wanted: Mapping[str, Any], record: Record) -> bool:
    return all(record.get(key) == value for key, value in wanted.items())


class Running:
    """One instance: its files, and everything that can be asked of it."""

    def __init__(self, folder: Path, containers: Mapping[str, Keys], settings: Keys, defaults: Keys) -> None:
        # A Unix socket's path must be short, and pytest's folders are not.
        self.short = Path(tempfile.mkdtemp(prefix="modoki-"))
        self.runtime_dir = self.short / "run"
        self.folder = folder
        self.log_dir = folder / "logs"
        self.configs = folder / "configs"
        self.configs.mkdir()
        tables = {
            "supervisor": {
                "runtime_dir": self.runtime_dir,
                **settings,
                "logs": {"dir": self.log_dir, **settings.get("logs", {})},
            },
            "defaults": defaults,
        }
        text = [table(head, keys) for head, keys in tables.items()]
        text += [table(f"container.{name}", keys) for name, keys in containers.items()]
        (self.configs / "all.toml").write_text("\n".join(text))
        self.names = list(containers)
        self.subtree = f"supervisor-{hashlib.sha256(bytes(self.runtime_dir)).hexdigest()[:8]}"
        self.said = folder / "said"
        self.process: subprocess.Popen[bytes] | None = None
        self.environment = {
            **os.environ,
            "SUPERVISOR_RUNTIME_DIR": str(self.runtime_dir),
        }
        self.program: tuple[str, ...] = PROGRAM

    # ── started and stopped ────────────────────────────────────────────────────────────

    def start(self, *, before: Callable[[], None] | None = None) -> None:
        """Begin `supervisor start` and return once every container has been started the first time, or waits for others."""
        self.begin(before=before)
        self.until_answering()
        self.until_started()

    def begin(self, *, before: Callable[[], None] | None = None) -> None:
        """Begin `supervisor start`, no more."""
        with self.said.open("ab") as said:
            self.process = subprocess.Popen(
                [*self.program, "start", f"{self.configs}/"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,  # a Ctrl-C at pytest is pytest's
                preexec_fn=before,  # noqa: PLW1509 - pytest has no threads
            )

    def until_started(self) -> None:
        """Each one by itself: where they start again and again, there may be no moment without a start."""
        started: set[str] = set()
        first: dict[str, int] = {}

        def all_have() -> bool:
            now = self.status()
            for one in now:
                name, run = one["name"], one["run"]
                again = one["state"] == "starting" and run > first.setdefault(name, run)
                if again or one["state"] not in {"waiting", "starting"}:
                    started.add(name)
            return all(one["name"] in started or one["waits_for"] for one in now)

        self.until(all_have, "started")

    def until_answering(self) -> None:
        def answers() -> bool:
            if self.process is not None and self.process.poll() is not None:
                pytest.fail(f"it ended with {self.process.returncode}:\n{self.report()}")
            try:
                # Not a daemon whose helper was killed, and which this one ends.
                return not gone(self.info()["pid"])
            except RequestError as error:
                if error.code != "unavailable":
                    pytest.fail(f"{error}\n{self.report()}")
                return False

        self.until(answers, "answering")

    def stop(self) -> None:
        """Stop it by its own command if it runs; afterwards nothing of it is left."""
        if (self.process is None or self.process.poll() is None) and self.answers():
            done = self.call("stop")
            assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), f"{done}\n{self.report()}"
        self.ended()

    def ended(self) -> None:
        """Wait for its end; afterwards nothing of it is left."""
        process = self.process
        if process is not None:
            self.until(lambda: process.poll() is not None, "its end")
            assert process.returncode == 0, self.report()
        self.nothing_is_left()

    def answers(self) -> bool:
        try:
            return bool(self.info())
        except RequestError:
            return False

    def nothing_is_left(self) -> None:
        assert self.left_processes() == [], self.report()
        assert self.cgroups() == [], self.report()
        assert self.left_mounts() == [], self.report()
        assert self.left_files() == [], self.report()

    def left_processes(self) -> list[str]:
        """Processes in a cgroup of ours, whatever became of the folder.

        Not those that have ended: a cgroup counts them no more, and whoever is their parent by now reaps them
        when it likes.
        """
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"/{self.subtree}" in (process / "cgroup").read_text() and not has_ended(process):
                    words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                    found.append(f"{process.name}: {words}")
        return found

    def cgroups(self) -> list[Path]:
        """Our folders, deepest first."""
        found = []
        for mount in cgroup_mounts():
            for parent, _, _ in os.walk(mount, topdown=False):
                if self.subtree in Path(parent).parts:
                    found.append(Path(parent))
        return found

    def left_mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if str(self.short) in line or str(self.folder) in line]

    def left_files(self) -> list[Path]:
        """FIFOs and sockets; the record of earlier runs may stay."""
        files = [Path(parent, name) for parent, _, names in os.walk(self.short) for name in names]
        return [file for file in files if stat.S_IFMT(file.lstat().st_mode) in {stat.S_IFIFO, stat.S_IFSOCK}]

    def clean(self) -> None:
        """By force, whatever state it is in."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        for folder in self.cgroups():
            with contextlib.suppress(OSError):
                (folder / "cgroup.kill").write_text("1")
        for pid in [int(line.partition(":")[0]) for line in self.left_processes()]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        with contextlib.suppress(pytest.fail.Exception):
            until(lambda: not self.left_processes(), "killed")
        for folder in self.cgroups():
            with contextlib.suppress(OSError):
                folder.rmdir()
        for line in reversed(self.left_mounts()):
            subprocess.run(["umount", "--lazy", line.split()[4]], check=False)
        shutil.rmtree(self.short, ignore_errors=True)

    # ── asked ──────────────────────────────────────────────────────────────────────────

    def call(self, *arguments: str, seconds: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """`supervisor …`, as typed."""
        try:
            return subprocess.run(
                [*self.program, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired:
            pytest.fail(f"not within {seconds:g} s: {arguments}\n{self.report()}")

    def done(self, *arguments: str) -> str:
        """What `supervisor …` printed; it must succeed."""
        done = self.call(*arguments)
        assert done.returncode == 0, f"{done.stderr}\n{self.report()}"
        return done.stdout

    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = self._get("/v1/info")
        return found

    def status(self) -> list[dict[str, Any]]:
        """As `status --json`, without the cost of a program each time."""
        found: list[dict[str, Any]] = self._get("/v1/containers")
        return found

    def of(self, name: str) -> dict[str, Any]:
        return next(one for one in self.status() if one["name"] == name)

    def _get(self, path: str) -> Any:
        return Call(str(self.runtime_dir), "GET", path, timeout=PATIENCE).value()

    # ── read ───────────────────────────────────────────────────────────────────────────

    def records(self, folder: str) -> list[Record]:
        """The whole records of a folder of logs, as any log shipper reads them."""
        while True:
            segments = self._segments(folder)
            with contextlib.suppress(FileNotFoundError):  # closed and named anew meanwhile
                lines = b"".join(file.read_bytes() for file in segments).split(b"\n")[:-1]
                if segments == self._segments(folder):
                    return [json.loads(line) for line in lines]

    def _segments(self, folder: str) -> list[Path]:
        """Oldest first."""
        return sorted((self.log_dir / folder).glob("*.jsonl"), key=lambda file: (file.name[0] == "c", file))

    def logs(self, name: str, stream: str | None = None) -> list[Record]:
        return [one for one in self.records(name) if stream in {None, one["stream"]}]

    def lines(self, name: str, stream: str | None = "stdout") -> list[str]:
        return [one["line"] for one in self.logs(name, stream)]

    def events(self, event: str | None = None, container: str | None = None, **fields: Any) -> list[Record]:
        wanted = {"event": event, "container": container} | fields
        wanted = {key: value for key, value in wanted.items() if value is not None}
        return [one for one in self.records("supervisor") if same(wanted, one)]

    def report(self) -> str:
        """What a failed test is explained by."""
        records = [json.dumps(one) for one in self.events()] if (self.log_dir / "supervisor").exists() else []
        output = [f"{name}: {one}" for name in self.names for one in self._printed(name)]
        said = self.said.read_text(errors="replace")[-4000:] if self.said.exists() else ""
        left = [str(each) for each in (*self.left_processes(), *self.cgroups(), *self.left_files())]
        return "\n".join([*records[-40:], *output[-40:], "── said ──", said, "── there ──", *left])

    def _printed(self, name: str) -> list[str]:
        with contextlib.suppress(OSError):
            return [f"{one['stream']}: {one.get('line', one)}" for one in self.logs(name)]
        return []

    # ── awaited ────────────────────────────────────────────────────────────────────────

    def until(self, condition: Callable[[], T | None], what: str, seconds: float = PATIENCE) -> T:
        return until(condition, lambda: f"{what}\n{self.report()}", seconds)

    def event(self, event: str, container: str | None = None, **fields: Any) -> Record:
        """The first such record of the supervisor, there already or to come."""
        found = self.until(lambda: self.events(event, container, **fields), f"{event} {container} {fields}")
        return found[0]

    def state(self, name: str, *states: str, run: int = 0) -> dict[str, Any]:
        """The status of a container once it is in one of these states, at least in its `run`-th run."""

        def there() -> dict[str, Any] | None:
            now = self.of(name)
            return now if now["state"] in states and now["run"] >= run else None

        return self.until(there, f"{name} {states}")

    def line(self, name: str, text: str) -> None:
        """Wait for a line of its output."""
        self.until(lambda: text in self.lines(name, None), f"{name} says {text!r}")

    def result(self, name: str) -> list[str]:
        """What a job printed, once it has succeeded."""
        ended = self.state(name, "exited", "failed")
        assert ended["state"] == "exited", self.report()
        assert ended["exit"]["code"] == 0, self.report()
        return self.lines(name)

    # ── its cgroups ────────────────────────────────────────────────────────────────────

    def controller(self, name: str, controller: str) -> Path:
        """The folder in which a container's files of a controller are: v1's, or the unified one."""
        self.state(name, "running")
        mounts = {file.name: file for file in cgroup_mounts()}
        top = mounts.get(controller)
        if top is None:
            return Path(self.of(name)["cgroup"])
        return next(folder for folder in self.cgroups() if top in folder.parents and folder.name == name)

    def processes(self, name: str) -> set[int]:
        return {int(pid) for pid in (Path(self.of(name)["cgroup"]) / "cgroup.procs").read_text().split()}


class Supervise(Protocol):
    def __call__(
        self, containers: Mapping[str, Keys], *, settings: Keys = ..., defaults: Keys = ...
    ) -> Running:
        """A supervisor of these containers, started."""

    def prepare(
        self, containers: Mapping[str, Keys], *, settings: Keys = ..., defaults: Keys = ...
    ) -> Running:
        """The same, not started yet."""


class _Supervise:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[Running] = []

    def prepare(
        self, containers: Mapping[str, Keys], *, settings: Keys | None = None, defaults: Keys | None = None
    ) -> Running:
        folder = self.folder / f"instance{len(self.made) + 1}"
        folder.mkdir()
        self.made.append(Running(folder, containers, settings or {}, defaults or {}))
        return self.made[-1]

    def __call__(
        self, containers: Mapping[str, Keys], *, settings: Keys | None = None, defaults: Keys | None = None
    ) -> Running:
        made = self.prepare(containers, settings=settings, defaults=defaults)
        made.start()
        return made


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[_Supervise]:
    made = _Supervise(tmp_path)
    try:
        yield made
        for one in made.made:
            one.stop()
    finally:
        for one in made.made:
            one.clean()
