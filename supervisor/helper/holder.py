"""The holder: processes that do nothing but keep the containers' FIFOs open, so that output which waits in one
outlives helper, daemon *and* container.

    helper ─clone3→ holder    in the cgroup _holder-N, with no capability and no signal that it would hear
           ─clone3→ holder    another, for when the first is killed together with the helper

A pipe's bytes are gone with its last descriptor (pipe(7), fifo(7)). The container, the helper and the daemon have some; where
all three are killed a holder is left. It is told by name what to hold and what to let go of. At the helper's death it goes
on as it is, until a helper that comes after has the FIFOs open, and holders of its own that hold them, and ends it. One
that dies is followed by another.

What is to be held when it is born it is born with; what is sent is held from the moment of the sending:
descriptors in a socket's queue are open (unix(7), SCM_RIGHTS). So there is no moment in which it does not hold what it should.
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
_PEEK = os.WEXITED | os.WNOHANG | os.WNOWAIT


class Holder:
    """All of them as one; `folders` are the paths of the cgroups that they get."""

    def __init__(self, folders: tuple[str, ...]) -> None:
        self.folders = folders
        self._ones = [_One(folder) for folder in folders]

    def hold(self, name: str, descriptors: tuple[int, ...]) -> None:
        """They must stay open here until `let_go`; saying it again is fine."""
        for one in self._ones:
            one.hold(name, descriptors)

    def let_go(self, name: str) -> None:
        for one in self._ones:
            one.let_go(name)

    def go_on(self) -> None:
        """Have the processes, and tell them what they were not told yet. Raises OSError or KernelError without means for one."""
        for one in self._ones:
            one.go_on()

    @property
    def settled(self) -> bool:
        """Whether each lives, and holds all that it should."""
        return all(one.settled for one in self._ones)

    @property
    def behind(self) -> bool:
        """Whether one was not told everything yet: `go_on` soon."""
        return any(one.pid and one.untold for one in self._ones)

    def reaped(self, pid: int) -> bool:
        """Whether the process that has ended was one of them; `go_on` makes another."""
        return any(one.reaped(pid) for one in self._ones)

    def end(self) -> None:
        for one in self._ones:
            one.end()


class _One:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.pid = 0
        self._socket: socket.socket | None = None
        self._wanted: dict[str, tuple[int, ...]] = {}
        self.untold: dict[str, None] = {}

    @property
    def settled(self) -> bool:
        # It may have died and not been reaped yet.
        return bool(self.pid) and not self.untold and not os.waitid(os.P_PID, self.pid, _PEEK)

    def hold(self, name: str, descriptors: tuple[int, ...]) -> None:
        if self._wanted.get(name) != descriptors:
            self._wanted[name] = descriptors
            self._tell(name)

    def let_go(self, name: str) -> None:
        if self._wanted.pop(name, None):
            self._tell(name)

    def go_on(self) -> None:
        if not self.pid:
            self._begin()
        self._tell_more()

    def reaped(self, pid: int) -> bool:
        if pid != self.pid:
            return False
        self._close()
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
                    _hold(theirs, self._wanted)
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
        self.untold.clear()

    def _tell(self, name: str) -> None:
        self.untold[name] = None
        self._tell_more()

    def _tell_more(self) -> None:
        """What its socket does not take now waits for the helper's next turn; what waits is a name each."""
        for name in list(self.untold) if self._socket else ():
            rights = array("i", self._wanted.get(name, ()))
            extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else []
            try:
                assert self._socket
                self._socket.sendmsg([name.encode()], extra)
            except OSError:
                return  # full, or its reader is gone: that is reaped in a moment
            del self.untold[name]

    def _close(self) -> None:
        process.close(self._socket.detach() if self._socket else -1)
        self.pid, self._socket = 0, None


def _hold(helper: socket.socket, born_with: dict[str, tuple[int, ...]]) -> NoReturn:
    """All signals are blocked since before its birth: SIGKILL alone ends it."""
    process.leave_signals()
    process.show_as(b"supervisor: holder")
    os.setsid()
    held = {name.encode(): array("i", descriptors) for name, descriptors in born_with.items()}
    process.close_all_but({helper.fileno(), *(fd for descriptors in held.values() for fd in descriptors)})
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for descriptor in range(3):  # whoever waits for the end of the supervisor's output does not wait for us
        os.dup2(null, descriptor)
    os.close(null)
    caps.take_exactly((), root=True)
    process.no_new_privileges()
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
