"""How a process ended is the same, whether wait(2) says it or an init shim wrote it down."""

import os
import signal

import pytest

from supervisor.kernel.status import Status, recorded, waited


@pytest.mark.parametrize("code", [0, 7, 255])
def test_an_exit_code_is_all_that_is_said_of_an_exit(code: int) -> None:
    assert waited(code << 8) == recorded(b"%03d -1 \n" % code) == Status(code=code)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGSEGV, signal.SIGRTMAX])
@pytest.mark.parametrize("core", [False, True])
def test_a_signal_is_told_apart_from_the_core_that_it_left(number: int, core: bool) -> None:
    low = number | (128 if core else 0)
    assert waited(low) == recorded(b"-1 %03d \n" % low) == Status(signal=number, core=core)


def test_what_this_kernel_says_of_a_child_is_read_as_python_reads_it() -> None:
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "kill -9 $$"], {})
    _, status = os.waitpid(child, 0)
    assert waited(status) == Status(signal=os.WTERMSIG(status)) == Status(signal=9)


@pytest.mark.parametrize("text", [b"", b"\n", b"7", b"seven -1\n", b"1 2 3\n", b"\xff \xff"])
def test_nothing_is_made_of_a_file_in_which_nothing_is_written_down(text: bytes) -> None:
    assert recorded(text) is None
