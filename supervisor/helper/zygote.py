"""The process that bears the containers' first processes (kernel.zygote), as the helper keeps it.

It is asked and answers at once, since all that it does is clone itself: what a root directory or a cgroup may hold up,
holds up the child alone. One that has died is replaced when it is needed.
"""

import errno
import os
import socket
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.kernel import zygote


class Zygote:
    """Raises KernelError(ENOEXEC) where there is none for this machine, OSError."""

    def __init__(self) -> None:
        self._program = zygote.make()
        self._requests, self._pid = _spawn(self._program)

    def bear(self, flags: int, descriptors: tuple[int, ...]) -> int:
        """The PID of a child of ours in new namespaces, by CLONE_ flags; `descriptors` are what kernel.zygote numbers
        from 3 on, its cgroup's folder the last. Raises KernelError or OSError; then it may have been born all the same,
        and whoever asked has to end all that is in its cgroup.

        Linux from 6.14 on kills the child at birth when cgroup.kill was used on one of the two cgroups, ours
        and the child's, and not on the other: it compares how often. So neither may have been killed since
        it was made.
        """
        asked = [zygote.request(flags)], list(descriptors)
        try:
            socket.send_fds(self._requests, *asked)
        except ConnectionError:  # it had died before, and has not heard of it
            self._replace()
            socket.send_fds(self._requests, *asked)
        pid = self._answer()
        if pid < 0:
            raise KernelError("clone3", -pid, hex(flags))
        return pid

    def _answer(self) -> int:
        try:
            answer = self._requests.recv(8)
        except OSError:
            self._replace()  # or the next answer would be taken for another
            raise
        if not answer:
            raise KernelError("clone3", errno.ECONNRESET, "zygote")
        return int.from_bytes(answer, "little", signed=True)

    def _replace(self) -> None:
        self._requests.close()
        self._requests, self._pid = _spawn(self._program)

    def end(self) -> None:
        """It ends by itself as soon as nobody can ask it any more; what it has borne goes on."""
        self._requests.close()
        with suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def _spawn(program: int) -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        return ours, zygote.spawn(program, theirs)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
