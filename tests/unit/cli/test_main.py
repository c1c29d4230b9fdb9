"""Each command: what it asks of the supervisor, what it prints, and its exit code."""

import json
import os
import socket
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio

from supervisor.api import server
from supervisor.cli.main import main
from supervisor.errors import RequestError


def test_status_is_a_table_with_a_sum(served: Any, run: Any) -> None:
    code, out, err = run("status")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == [
        "NAME",
        "STATE",
        "PID",
        "UP",
        "RESTARTS",
        "EXIT",
        "CPU/CAP",
        "THR",
        "MEM",
    ]
    assert out.splitlines()[-1] == "2 containers: 1 running, 1 stopped"


def test_ps_is_status(served: Any, run: Any) -> None:
    assert run("ps", "web")[1].splitlines()[-1] == "1 container: 1 running"


def test_status_as_json_is_the_list_of_objects(served: Any, run: Any) -> None:
    assert [each["name"] for each in json.loads(run("status", "--json")[1])] == ["web", "db"]


def test_inspect_shows_everything(served: Any, run: Any) -> None:
    code, out, _ = run("inspect", "web")
    assert code == 0
    assert "  command: /bin/true" in out.splitlines()
    assert json.loads(run("inspect", "web", "--json")[1])["config"] == {"command": ["/bin/true"]}


@pytest.mark.parametrize("act", ["start", "stop", "restart"])
def test_containers_are_acted_on_by_name(served: Any, run: Any, act: str) -> None:
    assert run(act, "web", "db", "web") == (0, "", "")
    assert sorted(served.fleet.calls) == [(act, "db"), (act, "web")]


@pytest.mark.parametrize("text", ["HUP", "SIGHUP", "hup", "1"])
def test_kill_takes_a_signal_in_any_spelling(served: Any, run: Any, text: str) -> None:
    assert run("kill", "web", "-s", text) == (0, "", "")
    assert served.fleet.calls == [("kill", "web", "SIGHUP")]


def test_a_signal_that_does_not_exist_is_a_usage_error(served: Any, run: Any) -> None:
    assert run("kill", "web", "-s", "SIGNOPE")[0] == 2


def test_all_are_tried_and_every_error_is_said(served: Any, run: Any) -> None:
    code, _, err = run("stop", "nope", "web", "nada")
    assert code == 3
    assert len(err.splitlines()) == 2
    assert ("stop", "web") in served.fleet.calls


@pytest.mark.parametrize(
    ("code", "status"),
    [("not-found", 3), ("unavailable", 3), ("forbidden", 4), ("invalid", 2), ("conflict", 1), ("failed", 1)],
)
def test_every_code_of_the_api_has_its_exit_code(served: Any, run: Any, code: str, status: int) -> None:
    served.fleet.refuse["start web"] = RequestError(code, "because")
    assert run("start", "web") == (status, "", "supervisor: because\n")


def test_a_bare_stop_ends_the_supervisor_and_waits_until_it_is_gone(
    served: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server's process is ours, which will not end: as if its PID meant nothing here.
    monkeypatch.setattr(os, "pidfd_open", lambda _: (_ for _ in ()).throw(ProcessLookupError()))
    assert run("stop") == (0, "", "")
    assert served.stopped.is_set()
    assert run("status")[0] == 3


@pytest.mark.parametrize(
    "argv",
    [
        ["status"],
        ["inspect", "web"],
        ["logs"],
        ["logs", "-f"],
        ["events"],
        ["stop"],
        ["start", "web"],
        ["kill", "web"],
    ],
)
def test_without_a_supervisor_every_command_says_so_and_how_to_start_one(run: Any, argv: list[str]) -> None:
    code, out, err = run(*argv)
    assert (code, out) == (3, "")
    assert "no supervisor is running" in err
    assert "supervisor start CONFIG" in err


def test_a_socket_one_may_not_use_is_not_permitted(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    code, _, err = run("status")
    assert code == 4
    assert "run as root, or join the group" in err


def test_the_runtime_dir_may_stand_before_or_after_the_command(served: Any, run: Any, folder: str) -> None:
    os.environ["SUPERVISOR_RUNTIME_DIR"] = "/nowhere"
    assert run("--runtime-dir", folder, "status")[0] == 0
    assert run("status", "--runtime-dir", folder)[0] == 0
    assert run("status")[0] == 3


# ── logs ───────────────────────────────────────────────────────────────────────────────


def record(name: str, line: str, second: int = 0) -> bytes:
    fields = {
        "ts": f"2026-11-24T03:00:{second:02}.000000Z",
        "level": "info",
        "event": "output",
        "container": name,
    }
    return json.dumps(
        {**fields, "run": 1, "stream": "stdout", "seq": 1, "line": line}, separators=(",", ":")
    ).encode()


def test_logs_are_lines_with_time_and_name(served: Any, run: Any) -> None:
    served.records.chunks = [record("web", "hello") + b"\n"]
    code, out, err = run("logs", "web", "-n", "7", "--events")
    assert (code, err) == (0, "")
    assert out[8:] == ".000 web       | hello\n"
    assert served.records.asked[0] | {"names": ("web",), "last": 7, "events": True} == served.records.asked[0]


def test_logs_as_json_are_the_records_themselves(served: Any, run: Any) -> None:
    served.records.chunks = [record("web", "hello") + b"\n"]
    assert run("logs", "--json")[1].encode() == record("web", "hello") + b"\n"


def test_following_prints_until_the_supervisor_ends(
    served: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE", 60.0)  # however slowly this machine takes it
    served.records.chunks = [record("web", "hello") + b"\n"]

    async def more() -> AsyncGenerator[bytes]:
        yield record("db", "last") + b"\n"
        served.stop()
        await trio.sleep_forever()

    served.records.more = more
    code, out, _ = run("events", "-f")
    assert (code, [line.split()[-1] for line in out.splitlines()]) == (0, ["hello", "last"])


@pytest.mark.parametrize("argv", [["--dir", "."], []])
def test_without_a_supervisor_logs_reads_the_folder(run: Any, folder: str, argv: list[str]) -> None:
    home = folder if argv else f"{folder}/logs"
    for name, line, second in (("web", "second", 2), ("db", "first", 1)):
        os.makedirs(f"{home}/{name}")
        with open(f"{home}/{name}/current.jsonl", "wb") as file:
            file.write(record(name, line, second) + b"\n")
    code, out, _ = run("logs", *argv)
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()] == ["first", "second"]
    assert run("logs", "-n", "1", *argv)[1].split()[-1] == "second"
    assert run("logs", "nope", *argv)[0] == 3
    assert run("logs", "-f", *argv)[0] == 3


# ── files ──────────────────────────────────────────────────────────────────────────────


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def test_check_prints_every_problem_one_a_line_and_exits_2(run: Any) -> None:
    write(
        "bad.toml",
        '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\ncgroup.cpu.max = "10x"\nuzer = "0"\n',
    )
    code, out, err = run("check", "bad.toml")
    assert (code, out) == (2, "")
    assert [line.split(":")[:2] for line in err.splitlines()] == [["bad.toml", "5"], ["bad.toml", "6"]]
    assert len(json.loads(run("check", "bad.toml", "--json")[1])["problems"]) == 2


def test_check_says_when_all_is_well(run: Any) -> None:
    write("good.toml", '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\n')
    code, out, err = run("check", "good.toml")
    first, *notes = out.splitlines()
    assert (code, first, err) == (0, "good.toml: 1 container, no problems", "")
    assert all(note.startswith("note: ") for note in notes)
    assert json.loads(run("check", "good.toml", "--json")[1])["ok"] is True


def test_check_compiles_the_seccomp_profiles(run: Any) -> None:
    six = [{"index": index, "value": 1, "op": "SCMP_CMP_LT"} for index in range(6)]
    rules = [{"names": ["execve"], "action": "SCMP_ACT_ALLOW", "args": six}] * 200
    write("long.json", json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules}))
    write("web.toml", '[container.web]\nrootfs = "host"\ncommand = ["/bin/true"]\nseccomp = "long.json"\n')
    code, out, err = run("check", "web.toml")
    assert (code, out) == (2, "")
    assert "BPF instructions" in err


def test_check_of_what_is_not_there_exits_2(run: Any) -> None:
    assert run("check", "nowhere/")[0] == 2


def test_schema_is_json_schema(run: Any) -> None:
    assert json.loads(run("schema")[1])["$schema"].startswith("https://json-schema.org/")


# ── ends ────────────────────────────────────────────────────────────────────────────────


def test_an_interrupt_is_quiet(served: Any, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(socket.socket, "connect", interrupt)
    assert run("status") == (130, "", "")


def test_a_bug_is_two_lines_and_no_traceback(served: Any, run: Any) -> None:
    served.fleet.containers["web"]["restarts"] = None
    served.fleet.containers["web"]["cpu"] = "not a table"
    code, _, err = run("status")
    assert code == 1
    assert err.startswith("supervisor: a bug: AttributeError")
    assert len(err.splitlines()) == 2


def test_main_takes_its_arguments_from_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["supervisor", "top"])
    assert main() == 1
