"""Holds: the supervisor's own records are whole and ordered, survive a full disk, and are calm on a terminal."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from supervisor.logs import store, terminal
from supervisor.logs.journal import KEPT, open_journal
from supervisor.supervise import ports

if TYPE_CHECKING:
    from tests.unit.logs.conftest import Rig

TS = "2026-11-23T12:34:56.789012Z"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Disk:
    full = False
    room = 1 << 20
    writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        if self.full or len(data) > self.room:
            raise OSError(errno.ENOSPC, "full")
        self.writes += 1
        self.room -= len(data)
        return os.write(fd, data)


def shown(event: str, level: str = "info", **fields: Any) -> str:
    head = {"ts": TS, "level": level, "event": event}
    text = terminal.line(head | fields, colour=False)
    assert text is not None
    return text.partition(" ")[2]


def test_it_is_what_supervision_asks_for(rig: Rig) -> None:
    journal: ports.Journal = open_journal(rig.archive().store("supervisor"))
    journal.record("info", "supervisor.started")
    assert len(rig.records("supervisor")) == 1


def test_keys_come_in_the_order_of_the_contract(rig: Rig) -> None:
    journal = open_journal(rig.archive().store("supervisor"))
    journal.record("warning", "container.exited", "web", 3, code=1, cpu={"usage_usec": 5})
    journal.record("info", "supervisor.started")
    one, two = rig.records("supervisor")
    assert list(one.items())[1:] == [
        ("level", "warning"),
        ("event", "container.exited"),
        ("container", "web"),
        ("run", 3),
        ("code", 1),
        ("cpu", {"usage_usec": 5}),
    ]
    assert list(two) == ["ts", "level", "event"]


def test_a_full_disk_is_survived_and_what_was_lost_is_counted(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk()
    monkeypatch.setattr(store, "os", disk)
    journal = open_journal(rig.archive().store("supervisor"))
    disk.full = True
    for n in range(KEPT + 7):
        journal.record("info", "x", n=n)
    assert rig.records("supervisor") == []
    disk.full = False
    journal.record("info", "last")
    found = rig.records("supervisor")
    assert [each["n"] for each in found if "n" in each] == list(range(7, KEPT + 7))
    assert [each["event"] for each in found[-2:]] == ["last", "logs.dropped"]
    assert found[-1]["count"] == 7


def test_records_made_together_are_one_write_in_their_order(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(rig.archive().store("supervisor"))
    disk = Disk()
    monkeypatch.setattr(store, "os", disk)
    with journal.together():
        journal.record("info", "one")
        with journal.together():
            journal.record("info", "two")
        assert rig.records("supervisor") == []
        journal.record("info", "three")
    assert [each["event"] for each in rig.records("supervisor")] == ["one", "two", "three"]
    assert disk.writes == 1


def test_what_is_too_much_for_a_disk_at_once_is_written_as_far_as_it_goes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal(rig.archive().store("supervisor"))
    disk = Disk()
    disk.room = 200
    monkeypatch.setattr(store, "os", disk)
    with journal.together():
        for number in range(5):
            journal.record("info", "x", n=number)
    assert [each["n"] for each in rig.records("supervisor")] == [0, 1]
    disk.room = 1 << 20
    assert journal.flush()
    assert [each["n"] for each in rig.records("supervisor")] == [0, 1, 2, 3, 4]


def test_what_goes_nowhere_is_not_printed(rig: Rig) -> None:
    with open("/dev/null", "w", encoding="utf-8") as nowhere:
        journal = open_journal(rig.archive().store("supervisor"), nowhere)
        journal.record("info", "supervisor.started")
        assert nowhere.tell() == 0
    assert len(rig.records("supervisor")) == 1


def test_the_process_that_keeps_records_has_no_console_library() -> None:
    code = "import sys, supervisor.logs.journal; sys.exit('rich' in sys.modules or 'structlog' not in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_elsewhere_than_on_a_terminal_the_same_lines_are_printed(rig: Rig) -> None:
    stream = io.StringIO()
    open_journal(rig.archive().store("supervisor"), stream).record(
        "info", "cgroup.stat", "web", 1, percent=9.5
    )
    assert [json.loads(line) for line in stream.getvalue().splitlines()] == rig.records("supervisor")


def test_on_a_terminal_measurements_are_not_shown(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    journal = open_journal(rig.archive().store("supervisor"), stream)
    journal.record("info", "cgroup.stat", "web", 1, percent=9.5)
    assert stream.getvalue() == ""
    journal.record("error", "container.failed", "web", 1, reason="gave up")
    assert stream.getvalue().endswith("\x1b[36mweb#1\x1b[0m \x1b[31mfailed (gave up)\x1b[0m\n")


def test_a_terminal_that_is_gone_does_no_harm(rig: Rig) -> None:
    stream = Terminal()
    journal = open_journal(rig.archive().store("supervisor"), stream)
    stream.close()
    journal.record("info", "supervisor.started")
    assert len(rig.records("supervisor")) == 1


def test_events_read_like_sentences() -> None:
    web: dict[str, Any] = {"container": "web", "run": 3}
    assert shown("container.started", **web, pid=123, launch_ms=2.41) == "web#3 started pid=123 in 2.4 ms"
    assert (
        shown("container.backoff", **web, delay_s=0.25, failures=2) == "web#3 backoff for 250 ms failures=2"
    )
    assert (
        shown("container.exited", **web, code=None, signal=9, oom=True, uptime_s=4.2)
        == "web#3 exited signal=SIGKILL out of memory after 4.2 s"
    )
    assert shown("supervisor.started", version="0.1.0") == "supervisor.started version=0.1.0"


def test_nothing_from_a_container_moves_the_cursor() -> None:
    text = shown("health.failed", container="web", run=1, output="\x1b[2J\nforged\u202e")
    assert text.isprintable()
