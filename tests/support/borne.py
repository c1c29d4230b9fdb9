"""Programs carried out by children of a real zygote, without namespaces or a cgroup of their own."""

import os
import socket
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from supervisor.kernel import libc, memory, zygote
from supervisor.kernel.image import assemble, pack
from supervisor.kernel.program import Program

_SIBLING = libc.words(0x8000, *[0] * 10)  # a struct clone_args: CLONE_PARENT


class Borne(NamedTuple):
    """`report` is our end of the report socket, `file` that of the program."""

    pid: int
    report: socket.socket
    file: int

    def told(self) -> bytes:
        return self.report.recv(8 * zygote.TOLD)

    def end(self) -> int:
        """Its exit code."""
        self.report.close()
        os.close(self.file)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@contextmanager
def zygotes() -> Iterator[socket.socket]:
    """One that lives meanwhile: where it is asked."""
    program = zygote.make()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = zygote.spawn(program, theirs)
    theirs.close()
    os.close(program)
    try:
        yield ours
    finally:
        ours.close()
        os.waitpid(pid, 0)


def bear(asked: socket.socket, program: Program, *more: int, exit_file: int = -1) -> Borne:
    """`more` are the descriptors from USERNS on."""
    file = memory.file("program", assemble((pack(program),)))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        socket.send_fds(
            asked, [_SIBLING], [file if exit_file < 0 else exit_file, file, theirs.fileno(), *more]
        )
    return Borne(int.from_bytes(asked.recv(8), "little", signed=True), ours, file)


def slots_of(told: bytes) -> "array[int]":
    return array("q", told)
