"""The command line itself: what is wrong with it is said in one style, and what is not there yet says so."""

from typing import Any

import pytest


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["frobnicate"],
        ["restart"],
        ["inspect"],
        ["status", "--jsn"],
        ["logs", "-n", "-1"],
        ["logs", "-n", "x"],
        ["start", "a", "b/"],
        ["start", "--detach", "web"],
        ["exec"],
        ["exec", "web"],
        ["exec", "web", "--"],
        ["exec", "web", "--", ""],
        ["exec", "web", "-t", "--", "ls"],
    ],
)
def test_a_wrong_command_line_exits_2_and_points_to_help(run: Any, argv: list[str]) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert err.startswith("supervisor: ")
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize("argv", [["top"]])
def test_commands_of_a_later_version_say_so(run: Any, argv: list[str]) -> None:
    assert run(*argv) == (1, "", f"supervisor: {argv[0]}: not supported yet\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--since", "teatime"], '--since: "teatime" is not a time'),
        (["--until", ""], '--until: "" is not a time'),
        (["--level", "loud"], '--level: "loud" is none of debug, info, warning, error, critical'),
        (["--stream", "both"], '--stream: "both" is none of stdout, stderr'),
        (["--grep", "("], '--grep: "(" is not a regular expression of Python'),
        (["--field", "status"], '--field: "status" is not KEY=VALUE'),
        (["-f", "--reverse"], "-f goes without --until and --reverse"),
        (["-f", "--until", "now"], "-f goes without --until and --reverse"),
    ],
)
def test_what_cannot_be_asked_of_logs_is_a_usage_error(run: Any, argv: list[str], said: str) -> None:
    code, out, err = run("logs", *argv)
    assert (code, out) == (2, "")
    assert said in err


def test_help_lists_every_command(run: Any) -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in [
        "start",
        "check",
        "doctor",
        "status",
        "inspect",
        "logs",
        "why",
        "stop",
        "restart",
        "kill",
        "plan",
        "reload",
        "exec",
        "top",
        "events",
        "schema",
    ]:
        assert f"\n    {name}" in out


def test_the_version_is_printed(run: Any) -> None:
    assert run("--version")[1].startswith("supervisor ")
