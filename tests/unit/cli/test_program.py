"""`python -m supervisor` as a process of its own: exit codes, pipes, signals, imports."""

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def program(*argv: str, folder: str, **more: Any) -> subprocess.Popen[bytes]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, "SUPERVISOR_RUNTIME_DIR": folder, **more}
    command = [sys.executable, "-m", "supervisor", *argv]
    return subprocess.Popen(command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(*argv: str, folder: str, **more: Any) -> tuple[int, bytes, bytes]:
    with program(*argv, folder=folder, **more) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_exit_codes(served: Any, folder: str) -> None:
    assert ended("status", folder=folder)[0] == 0
    assert ended("top", folder=folder)[0] == 1
    assert ended("nope", folder=folder)[0] == 2
    assert ended("status", "nope", folder=folder)[0] == 3
    assert ended("status", folder="/tmp")[0] == 3


def test_a_reader_that_has_had_enough_is_no_error(served: Any, folder: str) -> None:
    served.records.chunks = [b'{"line":"x"}\n' * 5000] * 20
    with program("logs", "--json", folder=folder) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(120) == 0
        assert process.stderr.read() == b""


@pytest.mark.parametrize("closed", ["0", "1", "2", "0 1", "1 2", "0 1 2"])
def test_a_closed_stream_is_nobody_and_its_number_nothing_elses(
    served: Any, folder: str, closed: str
) -> None:
    """Whoever is executed from there finds it open too."""
    there = "test -e /dev/fd/0 -a -e /dev/fd/1 -a -e /dev/fd/2 && exit"
    code = (
        "import os, sys; from supervisor.cli.main import main; code = main(sys.argv[1:]); "
        f"os.execl('/bin/sh', 'sh', '-c', f'{there} {{code}}')"
    )
    shut = " ".join(f"{each}<&-" for each in closed.split())
    command = ["/bin/sh", "-c", f'exec "$@" {shut}', "sh", sys.executable, "-c", code]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": ROOT, "SUPERVISOR_RUNTIME_DIR": folder}
    for argv, status, word in ((["status"], 0, b"web"), (["inspect", "nope"], 3, b"nope")):
        done = subprocess.run([*command, *argv], env=env, capture_output=True, check=False)
        assert done.returncode == status, done
        assert (word in done.stdout) == (status == 0 and "1" not in closed)
        assert (word in done.stderr) == (status == 3 and "2" not in closed)


def test_an_interrupted_follower_ends_quietly(served: Any, folder: str) -> None:
    with program("logs", "-f", folder=folder) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stderr.read() == b""


def test_a_locale_without_utf8_is_no_error(served: Any, folder: str) -> None:
    served.records.chunks = ['{"line":"日本"}\n'.encode()]
    assert ended("logs", folder=folder, PYTHONIOENCODING="ascii")[0] == 0


def test_status_imports_little(served: Any, folder: str) -> None:
    code = "import sys; from supervisor.cli.main import main; main(['status']); print(*sys.modules)"
    env = {"PYTHONPATH": ROOT, "SUPERVISOR_RUNTIME_DIR": folder}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    heavy = {
        "http.client",
        "trio",
        "anyio",
        "msgspec",
        "dataclasses",
        "inspect",
        "typing_extensions",
        "rich",
        "email",
    }
    assert not heavy & set(done.stdout.splitlines()[-1].split())
