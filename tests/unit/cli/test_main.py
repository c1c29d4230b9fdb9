"""Each command: what it asks of the supervisor, what it prints, and its exit code."""

import json
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import closing
from itertools import islice
from typing import Any

import pytest

from supervisor.cli import asking
from supervisor.cli.asked import Asked
from supervisor.cli.main import main
from supervisor.errors import Problem, RequestError
from supervisor.helper import notes
from supervisor.logs.stamp import clock
from supervisor.logs.wanted import wanted


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


@pytest.mark.parametrize("command", ["status", "inspect", "stop", "restart", "kill", "why"])
@pytest.mark.parametrize("name", ["TICK", "", "rep.1.1", "../..", "web/stop", "web/why"])
def test_a_name_that_no_container_can_have_is_no_containers(
    served: Any, run: Any, command: str, name: str
) -> None:
    assert run(command, name) == (3, "", f'supervisor: no container is called "{name}"\n')
    assert served.fleet.calls == []


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


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a"], "; 1 container still runs: `supervisor start CONFIG` takes it over"),
        (["a", "b"], "; 2 containers still run: `supervisor start CONFIG` takes them over"),
        ([], ": start one with `supervisor start CONFIG`"),
    ],
)
def test_without_a_supervisor_it_is_said_how_many_containers_go_on(
    run: Any, folder: str, names: list[str], said: str
) -> None:
    ours = notes.start_time(os.getpid())
    for name, started in ({"gone": ours + 1, "unborn": 0, "none": 0} | dict.fromkeys(names, ours)).items():
        os.makedirs(f"{folder}/containers/{name}")
        with open(f"{folder}/containers/{name}/run", "w") as file:
            file.write(f"1 {os.getpid()} 0 {started} 0\n" if name != "none" else "1")
    assert run("status") == (3, "", f"supervisor: no supervisor is running in {folder}{said}\n")


def test_while_a_helper_lives_nothing_is_there_to_be_taken_over(run: Any, folder: str) -> None:
    os.makedirs(f"{folder}/containers/a")
    with open(f"{folder}/containers/a/run", "w") as file:
        file.write(f"1 {os.getpid()} 0 {notes.start_time(os.getpid())} 0\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as helper:
        helper.bind(f"{folder}/exec.sock")
        helper.listen()
        assert "still" not in run("status")[2]
    assert "1 container still runs" in run("status")[2]


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
    assert out.endswith(".000 web       | hello\n")
    assert served.records.asked[0] | {"names": ("web",), "last": 7, "events": True} == served.records.asked[0]


def test_logs_as_json_are_the_records_themselves(served: Any, run: Any) -> None:
    served.records.chunks = [record("web", "hello") + b"\n"]
    assert run("logs", "--json")[1].encode() == record("web", "hello") + b"\n"


def test_who_may_not_read_the_files_follows_by_the_socket_over_a_restart_of_the_supervisor(
    served: Any, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has had already is left out when the next supervisor is asked for everything since."""
    served.records.chunks = [record("web", "hello") + b"\n"]
    third = record("db", "third", 1).replace(b'"seq":1', b'"seq":2')

    async def more() -> AsyncGenerator[
        bytes
    ]:  # the first stream ends; the next one begins with what there is
        yield record("db", "second") + b"\n"
        if len(served.records.asked) > 1:
            yield third + b"\n"

    served.records.more = more
    monkeypatch.setattr(asking, "EVERY", 0.0)
    with closing(asking.read(folder, Asked((), wanted(clock(), grep="e|d"), follow=True))) as batches:
        seen = [json.loads(line)["line"] for batch in islice(batches, 3) for line in batch]
    assert seen == ["hello", "second", "third"]
    assert served.records.asked[1]["wanted"].since == "2026-11-24T02:59:00.000000Z"


def test_the_last_that_a_regular_expression_finds_are_looked_for_from_the_end(
    served: Any, folder: str
) -> None:
    """It is applied here: the supervisor is not made to."""
    served.records.chunks = [record("web", text, n) + b"\n" for n, text in enumerate(["b3", "x", "b2", "b1"])]
    (found,) = asking.read(folder, Asked((), wanted(clock(), grep="^b"), last=2))
    assert [json.loads(line)["line"] for line in found] == ["b2", "b3"]
    assert served.records.asked[0]["reverse"]
    assert served.records.asked[0]["last"] is None


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


PLAN = """\
remove   old
restart  web    command, env.A
change   db     cgroup.cpu.max
add      web.3
set      supervisor.monitor.interval
set      group.app.members
"""


@pytest.mark.parametrize("command", ["plan", "reload"])
def test_plan_and_reload_print_what_changes_and_which_key_causes_it(
    served: Any, run: Any, command: str
) -> None:
    assert run(command) == (0, PLAN, "")
    assert json.loads(run(command, "--json")[1])["restarted"] == [
        {"name": "web", "keys": ["command", "env.A"]}
    ]
    assert bool(served.reload.by) == (command == "reload")


def test_a_reload_that_could_not_do_all_says_what_and_exits_with_1(served: Any, run: Any) -> None:
    served.reload.answer["failed"] = {"web": "web did not start: exec", "db": "cpu.max: no"}
    code, out, err = run("reload")
    assert (code, out) == (1, PLAN)
    assert err == "supervisor: web did not start: exec\nsupervisor: db: cpu.max: no\n"


def test_a_plan_without_anything_to_do_says_so(served: Any, run: Any) -> None:
    served.reload.answer = {key: [] for key in served.reload.answer}
    assert run("plan") == (0, "nothing to change\n", "")


@pytest.mark.parametrize("command", ["plan", "reload"])
def test_problems_of_the_files_are_printed_as_check_prints_them(served: Any, run: Any, command: str) -> None:
    problems = (
        Problem("configs/web.toml", 7, "container.web.command", "is missing"),
        Problem("x.toml", 0, "", "bad"),
    )
    served.reload.error = RequestError("invalid", "two problems", problems)
    assert run(command) == (2, "", "configs/web.toml:7: container.web.command: is missing\nx.toml: bad\n")
    code, out, _ = run(command, "--json")
    assert (code, json.loads(out)["problems"][0]["line"]) == (2, 7)
