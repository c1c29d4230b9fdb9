"""Holds: a log folder is read and followed without a supervisor, over everything that may become of its files."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.cli import logfolder, whereabouts
from supervisor.cli.asked import Asked
from supervisor.errors import KernelError, RequestError
from supervisor.kernel import changes
from supervisor.logs import frames, segments
from supervisor.logs.archive import Archive
from supervisor.logs.frames import FORMATS
from supervisor.logs.segment import SUFFIX
from supervisor.logs.stamp import stamp
from supervisor.logs.wanted import EVERYTHING, Wanted
from supervisor.supervise.ledger import Ledger


class Logs:
    """A log folder, written as the supervisor writes it; records are numbered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count = 0
        self.fd = os.open(path, os.O_RDONLY)
        self.archive = Archive(self.fd, segment=300)

    def close(self) -> None:
        self.archive.close()
        os.close(self.fd)

    def restart(self) -> None:
        """Another supervisor."""
        self.archive.close()
        self.archive = Archive(self.fd, segment=300)

    def write(self, name: str, **more: Any) -> None:
        (self.path / name).mkdir(exist_ok=True)
        self.count += 1
        ts = stamp(1000.0 + self.count)
        fields = {"ts": ts, "level": "info", "event": "output", "container": name, "line": str(self.count)}
        self.archive.store(name).write(json.dumps(fields | more, separators=(",", ":")).encode() + b"\n", ts)

    def compress(self, name: str) -> None:
        """The oldest that is not yet, as it is done: the twin first, then the plain one goes."""
        for stem in segments.closed(self.fd, name):
            plain = self.path / name / (stem + SUFFIX)
            if plain.exists():
                twin = self.path / name / (stem + FORMATS[0].suffix)
                twin.write_bytes(b"".join(frames.pack(FORMATS[0], [plain.read_bytes()])))
                plain.unlink()
                return

    def drop(self, name: str) -> None:
        for stem in segments.closed(self.fd, name)[:1]:
            for file in (self.path / name).glob(stem + ".*"):
                file.unlink()


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[Logs]:
    made = Logs(tmp_path)
    for name in ("web.1", "web.2", "db", "webs"):
        made.write(name)
    made.write("supervisor", event="container.ready", container="db")
    made.write("supervisor", event="supervisor.started", container=None)
    yield made
    made.close()


def numbers(batches: Any) -> list[int]:
    return [int(json.loads(record)["line"]) for batch in batches for record in batch]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Asked((), EVERYTHING), [1, 2, 3, 4]),
        (Asked(("web",), EVERYTHING), [1, 2]),
        (Asked(("db",), EVERYTHING, events=True), [3, 5]),
        (Asked((), EVERYTHING, events=True), [1, 2, 3, 4, 5, 6]),
        (Asked((), EVERYTHING, output=False, events=True), [5, 6]),
        (Asked((), EVERYTHING, last=2), [3, 4]),
        (Asked((), EVERYTHING, last=2, reverse=True), [4, 3]),
        (Asked((), EVERYTHING, reverse=True), [4, 3, 2, 1]),
        (Asked((), Wanted(since=stamp(1002.0), until=stamp(1004.0))), [2, 3]),
        (Asked((), Wanted(grep="^[13]$"), last=1), [3]),
    ],
)
def test_a_folder_is_asked_as_a_supervisor_is(logs: Logs, asked: Asked, expected: list[int]) -> None:
    assert numbers(logfolder.read(str(logs.path), asked)) == expected


def test_a_name_without_a_log_is_not_found(logs: Logs) -> None:
    with pytest.raises(RequestError, match="nope"):
        list(logfolder.read(str(logs.path), Asked(("nope",), EVERYTHING)))


steps = st.lists(
    st.sampled_from(["write", "write", "write", "event", "read", "compress", "drop", "restart"]), max_size=60
)


@settings(deadline=None, max_examples=80)
@given(steps, st.none() | st.integers(1, 3))
def test_a_follower_sees_each_record_once_whatever_becomes_of_the_files(
    tmp_path_factory: pytest.TempPathFactory, taken: list[str], last: int | None
) -> None:
    """Rotation, compression, another supervisor. What is dropped before it was read is all that may be missing."""
    logs = Logs(tmp_path_factory.mktemp("logs"))
    for _ in range(4):
        logs.write("db")
    logs.write("supervisor", event="container.ready", container="db")
    seen: list[int] = []
    asked = Asked(("db",), EVERYTHING, last=last, follow=True, events=True)
    with closing(logfolder.read(str(logs.path), asked)) as batches:

        def read() -> None:
            while logs.count not in seen:
                seen.extend(numbers([next(batches)]))

        do: dict[str, Callable[[], None]] = {
            "write": lambda: logs.write("db"),
            "event": lambda: logs.write("supervisor", event="container.ready", container="db"),
            "read": read,
            "compress": lambda: logs.compress("db"),
            "drop": lambda: logs.drop("db"),
            "restart": logs.restart,
        }
        read()
        assert seen == [1, 2, 3, 4, 5][-(last or 5) :]
        for step in [*taken, "write", "read"]:
            do[step]()
        if "drop" not in taken:
            first = seen[0]
            while len(seen) < logs.count - first + 1:
                seen.extend(numbers([next(batches)]))
            assert sorted(seen) == list(range(first, logs.count + 1))
    logs.close()
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("watches", [True, False])
def test_who_follows_everything_sees_who_is_new(
    logs: Logs, monkeypatch: pytest.MonkeyPatch, watches: bool
) -> None:
    """Also where the kernel has no more watches to give."""

    def refuse() -> int:
        raise KernelError("inotify_init1", 24, "")

    if not watches:
        monkeypatch.setattr(changes, "watcher", refuse)
    with closing(logfolder.read(str(logs.path), Asked((), EVERYTHING, last=1, follow=True))) as batches:
        assert numbers([next(batches)]) == [4]
        logs.write("fresh")
        assert numbers([next(batches)]) == [7]
        logs.write("fresh")
        assert numbers([next(batches)]) == [8]


def test_a_follower_of_what_matches_sees_only_that(logs: Logs) -> None:
    asked = Asked(("db",), Wanted(grep="[89]"), follow=True)
    with closing(logfolder.read(str(logs.path), asked)) as batches:
        for number in (7, 8, 9):
            logs.write("db")
            if number > 7:
                assert numbers([next(batches)]) == [number]


def test_the_folder_is_found_by_what_the_last_supervisor_wrote_down(tmp_path: Path) -> None:
    (tmp_path / "daemon").mkdir()
    folder = os.open(tmp_path / "daemon", os.O_RDONLY)
    for at, logs in ((2.0, "/var/log/new"), (1.0, "/var/log/old")):
        Ledger(folder, lambda at=at: at, logs).save(f"c{at:.0f}", {})  # type: ignore[misc]
    os.close(folder)
    (tmp_path / "daemon" / "broken.json").write_text("{")
    assert whereabouts.last_folder(str(tmp_path)) == "/var/log/new"
    assert whereabouts.last_folder(str(tmp_path / "nowhere")) == ""


def test_a_folder_of_that_name_is_read_only_if_it_is_the_supervisors(logs: Logs, tmp_path: Path) -> None:
    """Whoever asks from inside of a container, or a chroot, may see another one there."""
    found = tmp_path.stat()
    assert whereabouts.readable(str(tmp_path), f"{found.st_dev}:{found.st_ino}")
    assert not whereabouts.readable(str(tmp_path), f"{found.st_dev}:{found.st_ino + 1}")
    assert not whereabouts.readable(str(tmp_path / "nowhere"), "")


@pytest.mark.parametrize("options", [(), ("--reverse",), ("-n", "50"), ("--grep", "1|2|3")])
def test_a_damaged_file_takes_no_other_with_it_and_is_named_once(
    run: Callable[..., tuple[int, str, str]], logs: Logs, options: tuple[str, ...]
) -> None:
    for _ in range(20):
        logs.write("web.1")
    logs.compress("web.1")
    (damaged,) = (logs.path / "web.1").glob("*.zst")
    code, whole, _ = run("logs", "web.1", "--dir", str(logs.path), *options)
    assert code == 0
    lost = damaged.read_bytes()
    damaged.write_bytes(b"rubbish" + lost)
    code, out, err = run("logs", "web.1", "--dir", str(logs.path), *options)
    assert (code, out, len(err.splitlines())) == (1, whole, 1)
    assert err.startswith(f"supervisor: {damaged} is damaged: ")
    damaged.write_bytes(b"")
    code, out, err = run("logs", "web.1", "--dir", str(logs.path), *options)
    assert (code, err) == (1, f"supervisor: {damaged} is damaged: it is empty\n")
    assert set(out.splitlines()) < set(whole.splitlines())
