"""The zygote is what its source says; its children report what fails, and end as the service that they wait for."""

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.errors import KernelError
from supervisor.helper import service
from supervisor.helper.world import Site
from supervisor.helper.zygote import Zygote
from supervisor.kernel import libc, zygote
from supervisor.kernel.program import Program, call
from tests.support.assembling import TOOLS, assembled
from tests.support.borne import bear, zygotes

SOURCE = Path(zygote.__file__).parent / "zygote"
SITE = Site("")


@pytest.mark.parametrize("machine", TOOLS)
def test_its_code_is_its_source_assembled(machine: str, tmp_path: Path) -> None:
    assert zygote.CODE[machine] == assembled(SOURCE, machine, tmp_path)


Waited = Callable[..., tuple[int, bytes]]


def waiting(script: str, begun: int) -> Program:
    """A service that is forked, and PID 1's own part until it waits."""
    env = (("PATH", "/bin:/usr/bin"),)
    child = service.execute(SITE, ("sh", "-c", script, "", str(begun)), env, "/")
    stays_open = call("dup3", zygote.USERNS, begun, 0)
    child = (child[0], stays_open, *child[1:])
    return (*service.fork(len(child)), *child, *(call("close", one) for one in range(4, 7)))


@pytest.fixture
def waited(tmp_path: Path) -> Iterator[Waited]:
    """How a shell that a child of the zygote waits for has ended, as its own exit code and in the exit file."""
    file = os.open(tmp_path / "exit", os.O_RDWR | os.O_CREAT, 0o600)
    with zygotes() as asked:

        def wait(script: str, sent: int = 0) -> tuple[int, bytes]:
            begun, begin = os.pipe()
            one = bear(asked, waiting(script, 20), begin, exit_file=file)
            os.close(begin)
            if sent:
                os.read(begun, 1)
                os.kill(one.pid, sent)
            os.close(begun)
            return one.end(), os.pread(file, 64, 0)

        yield wait
    os.close(file)


@pytest.mark.parametrize("code", [0, 7, 99, 255])
def test_an_exit_code_is_recorded_and_is_its_own(waited: Waited, code: int) -> None:
    assert waited(f"exit {code}") == (code, b"%03d -1 \n" % code)


def test_a_signal_is_recorded_and_is_added_to_128(waited: Waited) -> None:
    assert waited("kill -9 $$") == (137, b"-1 009 \n")


def test_a_core_that_was_dumped_is_recorded_with_the_signal(waited: Waited, tmp_path: Path) -> None:
    script = f"ulimit -c unlimited; cd {tmp_path}; kill -SEGV $$"
    _, status = os.waitpid(os.posix_spawn("/bin/sh", ["sh", "-c", script], {}), 0)
    # Whether one is dumped is the machine's affair (core(5)): the shim's word is compared with the kernel's.
    assert waited(script) == (128 + signal.SIGSEGV, b"-1 %03d \n" % status)


def test_signals_reach_the_service(waited: Waited) -> None:
    script = "trap 'exit 42' TERM; echo >/dev/fd/$1; while :; do sleep 0.05; done"
    assert waited(script, signal.SIGTERM) == (42, b"042 -1 \n")


def test_nobody_can_read_it_or_write_it() -> None:
    program = zygote.make()
    assert os.fstat(program).st_mode & 0o777 == 0o111
    with pytest.raises(OSError, match="Operation not permitted"):
        os.pwrite(program, b"x", 0)
    with pytest.raises(OSError, match="Operation not permitted"):
        os.ftruncate(program, 0)
    os.close(program)


def test_a_child_whose_program_is_nowhere_ends_at_once() -> None:
    with zygotes() as asked:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, theirs:
            socket.send_fds(asked, [libc.words(0x8000, *[0] * 10)], [theirs.fileno()])
            pid = int.from_bytes(asked.recv(8), "little", signed=True)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == zygote.FAILED


def test_it_holds_no_descriptor_of_an_earlier_request() -> None:
    with zygotes() as asked:
        one = bear(asked, (call("umask", 0o022), call("close", -1)))
        one.end()
        bear(asked, (call("close", -1),)).end()
        # Whoever holds the report socket keeps it from coming to its end.
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            with theirs:
                socket.send_fds(asked, [b"no clone_args"], [theirs.fileno()])
            assert ours.recv(1) == b""


def test_one_that_has_died_is_replaced() -> None:
    kept = Zygote()
    os.kill(kept._pid, signal.SIGKILL)
    os.waitpid(kept._pid, 0)
    null = os.open("/dev/null", os.O_RDONLY)
    with pytest.raises(KernelError) as raised:
        kept.bear(0, (null,) * 8)
    assert raised.value.errno == errno.EBADF  # from the kernel, so it was asked: a file is no cgroup's folder
    os.close(null)
    kept.end()


def test_a_machine_that_there_is_no_code_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(KernelError, match="riscv64"):
        zygote.make()
