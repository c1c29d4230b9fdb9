"""The init shim is what its source says, and ends as the service that it waits for."""

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.helper import shim
from tests.support.assembling import TOOLS, assembled

SOURCE = Path(shim.__file__).parent / "shim"


@pytest.mark.parametrize("machine", TOOLS)
def test_its_code_is_its_source_assembled(machine: str, tmp_path: Path) -> None:
    assert shim.PROGRAMS[machine] == assembled(SOURCE, machine, tmp_path)


Waited = Callable[..., tuple[int, bytes]]


@pytest.fixture
def waited(tmp_path: Path) -> Iterator[Waited]:
    """How a shell that the shim waits for has ended, as the shim's own exit code and in the exit file."""
    program = shim.make()
    if program < 0:
        pytest.skip("no shim for this machine")
    file = os.open(tmp_path / "exit", os.O_RDWR | os.O_CREAT, 0o600)

    def wait(script: str, sent: int = 0) -> tuple[int, bytes]:
        begun, begin = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.close(begun)
                signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
                os.set_inheritable(begin, True)
                service = os.posix_spawn("/bin/sh", ["sh", "-c", script, "", str(begin)], {}, setsigmask=())
                os.close(begin)
                shim.become(program, service, file)
            finally:
                os._exit(99)
        os.close(begin)
        if sent:
            os.read(begun, 1)
            os.kill(pid, sent)
        os.close(begun)
        status = os.waitpid(pid, 0)[1]
        return os.waitstatus_to_exitcode(status), os.pread(file, 64, 0)

    yield wait
    os.close(program)
    os.close(file)


@pytest.mark.parametrize("code", [0, 7, 99, 255])
def test_an_exit_code_is_recorded_and_is_its_own(waited: Waited, code: int) -> None:
    assert waited(f"exit {code}") == (code, b"%03d -1 \n" % code)


def test_a_signal_is_recorded_and_is_added_to_128(waited: Waited) -> None:
    assert waited("kill -9 $$") == (137, b"-1 009 \n")


def test_signals_reach_the_service(waited: Waited) -> None:
    script = "trap 'exit 42' TERM; echo >/dev/fd/$1; while :; do sleep 0.05; done"
    assert waited(script, signal.SIGTERM) == (42, b"042 -1 \n")


def test_nobody_can_read_it_or_write_it() -> None:
    program = shim.make()
    assert os.fstat(program).st_mode & 0o777 == 0o111
    with pytest.raises(OSError, match="Operation not permitted"):
        os.pwrite(program, b"x", 0)
    with pytest.raises(OSError, match="Operation not permitted"):
        os.ftruncate(program, 0)
    os.close(program)
