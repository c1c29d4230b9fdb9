"""A command in a container from the operator's side: what is typed arrives as it is, and how it went is said."""

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from supervisor.cli.containers import LOST
from supervisor.helper.asked import VISIT_MAX, decode_visit
from supervisor.helper.protocol import Report, encode_report


class Helper:
    """One visit's worth of a helper, at RUNTIME_DIR/exec.sock: hears one message, answers with reports."""

    def __init__(self, folder: str) -> None:
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listening.bind(os.path.join(folder, "exec.sock"))
        self.listening.listen()
        self.heard = b""
        self.thread: threading.Thread | None = None

    def answer(self, *reports: Report) -> None:
        self.thread = threading.Thread(target=self._answer, args=(reports,))
        self.thread.start()

    def _answer(self, reports: tuple[Report, ...]) -> None:
        connection, _ = self.listening.accept()
        with connection:
            self.heard = connection.recv(VISIT_MAX)
            pipes = [os.pipe() for _ in range(3)]
            for report in reports:
                given = [pipes[0][1], pipes[1][0], pipes[2][0]] if report.what == "streams" else []
                socket.send_fds(connection, [encode_report(report)], given)
            for pipe in pipes:
                for end in pipe:
                    os.close(end)

    def close(self) -> None:
        if self.thread:
            self.thread.join()
        self.listening.close()


@pytest.fixture
def helper(folder: str) -> Iterator[Helper]:
    made = Helper(folder)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_terminal() -> Iterator[None]:
    """Whatever stdin the tests are given, it is at its end."""
    own = os.dup(0)
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    yield
    os.dup2(own, 0)
    os.close(own)
    os.close(null)


ENDED = Report("ended", "web", 1, code=0)


def refused(stage: str, number: int, path: str) -> Report:
    return Report("refused", "web", 1, stage=stage, errno=number, path=path)


@pytest.mark.parametrize("typed", [["--", "ls", "-l", "--", "x"], ["ls", "-l", "--", "x"]])
def test_the_command_is_what_stands_after_the_name(run: Any, helper: Helper, typed: list[str]) -> None:
    helper.answer(Report("streams"), ENDED)
    assert run("exec", "web", *typed) == (0, "", "")
    visit = decode_visit(helper.heard)
    assert (visit.name, visit.argv, visit.tty) == ("web", ("ls", "-l", "--", "x"), False)


@pytest.mark.parametrize(
    ("report", "code", "text"),
    [
        (Report("ended", "web", 1, code=7), 7, ""),
        (Report("ended", "web", 1, signal=15), 143, ""),
        (Report("denied", "web", path="web is ending", hint="conflict"), 1, "web is ending"),
        (Report("denied", "web", path="no web", hint="not-found"), 3, "no web"),
        (Report("denied", path="only root", hint="forbidden"), 4, "only root"),
        (refused("exec", 2, "ls"), 127, "web: exec: ls: No such file or directory"),
        (refused("exec", 8, "ls"), 126, "web: exec: ls: Exec format error"),
        (refused("workdir", 20, "/x"), 1, "web: workdir: /x: Not a directory"),
        (None, 137, "web has ended, and the command with it"),
    ],
)
def test_how_it_went_is_the_exit_code_and_at_most_a_sentence(
    run: Any, helper: Helper, report: Report | None, code: int, text: str
) -> None:
    helper.answer(*([report] if report else []))
    found, out, err = run("exec", "web", "--", "ls")
    assert (found, out) == (code, "")
    assert err.startswith(f"supervisor: {text}" if text else "")
    assert err.count("\n") == bool(text)


def test_without_a_supervisor_it_says_so(run: Any) -> None:
    code, _, err = run("exec", "web", "--", "ls")
    assert code == 3
    assert err.startswith("supervisor: no supervisor is running in ")


def test_without_the_helper_it_says_what_every_other_command_says(
    served: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served.info, "helper", False)
    assert run("exec", "web", "--", "ls") == (3, "", f"supervisor: {LOST}\n")


def test_a_command_that_is_too_long_is_not_even_asked_for(run: Any, helper: Helper) -> None:
    code, _, err = run("exec", "web", "--", "x" * VISIT_MAX)
    assert (code, err.count("\n")) == (2, 1)
