"""The holder: a process that does nothing but keep the containers' FIFOs open, so that output which waits in one
outlives helper, daemon *and* container.

    helper ─clone3→ holder    in the cgroup _holder-N, with no capability and no signal that it would hear

A pipe's bytes are gone with its last descriptor (pipe(7), fifo(7)). The container, the helper and the daemon have some; where
all three are killed this one is left. It is told by name what to hold and what to let go of. At the helper's death it goes
on as it is, until a helper that comes after has the FIFOs open and ends it. One that dies is followed by another.

What is sent is held from the moment of the sending: descriptors in a socket's queue are open (unix(7), SCM_RIGHTS).
"""

import os
import signal
import socket
from array import array
from contextlib import suppress
from typing import NoReturn

from supervisor.kernel import caps, cgroup, process

_LONGEST = 128  # bytes of a name
_ROOM = socket.CMSG_SPACE(8)  # for two descriptors


class Holder:
    """`folder` is the path of the cgroup that it gets."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.pid = 0
        self._socket: socket.socket | None = None
        self._wanted: dict[str, tuple[int, ...]] = {}
        self._untold: dict[str, None] = {}

    def hold(self, name: str, descriptors: tuple[int, ...]) -> None:
        """They must stay open here until `let_go`; saying it again is fine."""
        if self._wanted.get(name) != descriptors:
            self._wanted[name] = descriptors
            self._tell(name)

    def let_go(self, name: str) -> None:
        if self._wanted.pop(name, None):
            self._tell(name)

    def go_on(self) -> None:
        """Have a process, and tell it what it was not told yet. Raises OSError or KernelError without means for one."""
        if not self.pid:
            self._begin()
        self._tell_more()

    def reaped(self, pid: int) -> bool:
        """Whether the process that has ended was ours; `go_on` makes another."""
        if pid != self.pid:
            return False
        self._close()
        self._untold = dict.fromkeys(self._wanted)
        return True

    def end(self) -> None:
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)  # our child, not reaped yet: its number is no stranger's
            os.waitpid(self.pid, 0)
        self._close()
        cgroup.remove(self.folder)

    # ── how ────────────────────────────────────────────────────────────────────────────

    def _begin(self) -> None:
        cgroup.remove(self.folder)  # one that was killed is no place to be born in: cgroup.fork_into
        leaf = cgroup.Leaf(self.folder, {})
        cgroup.make(leaf, ())
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        before = process.block_signals()
        try:
            self.pid, pidfd = cgroup.fork_into(leaf, 0)
            if self.pid == 0:
                try:
                    _hold(theirs)
                finally:
                    os._exit(1)
            process.close(pidfd)
        except BaseException:
            ours.close()
            raise
        finally:
            process.unblock_signals(before)
            theirs.close()
        ours.setblocking(False)
        self._socket = ours

    def _tell(self, name: str) -> None:
        self._untold[name] = None
        self._tell_more()

    def _tell_more(self) -> None:
        """What its socket does not take now waits for the helper's next turn; what waits is a name each."""
        for name in list(self._untold) if self._socket else ():
            rights = array("i", self._wanted.get(name, ()))
            extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
            try:
                assert self._socket
                self._socket.sendmsg([name.encode()], extra)
            except OSError:
                return  # full, or its reader is gone: that is reaped in a moment
            del self._untold[name]

    def _close(self) -> None:
        process.close(self._socket.detach() if self._socket else -1)
        self.pid, self._socket = 0, None


def _hold(helper: socket.socket) -> NoReturn:
    """All signals are blocked since before its birth: SIGKILL alone ends it."""
    process.leave_signals()
    process.show_as(b"supervisor: holder")
    os.setsid()
    process.close_all_but({helper.fileno()})
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in range(3):  # whoever waits for the end of the supervisor's output does not wait for us
        os.dup2(null, descriptor)
    os.close(null)
    caps.take_exactly((), root=True)
    process.no_new_privileges()
    held: dict[bytes, array[int]] = {}
    while True:
        name, extra, _, _ = helper.recvmsg(_LONGEST, _ROOM, socket.MSG_CMSG_CLOEXEC)
        if not name:
            break
        process.close(*held.pop(name, ()))
        for _, _, data in extra:
            held[name] = array("i", data)
    helper.close()
    while True:
        with suppress(InterruptedError):
            signal.pause()
