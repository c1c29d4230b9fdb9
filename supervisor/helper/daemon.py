"""The unprivileged half as the helper sees it: started, talked to, started again when it dies.

It is a separate program (it gives up root by itself, having opened what it needs); nothing it says
is believed beyond helper.protocol and helper.policy.
"""

import errno
import os
import select
import signal
import socket
import time
from array import array
from collections import deque

from supervisor.helper.protocol import MAX, Declared, Report, encode_report
from supervisor.kernel import process

_ENVIRONMENT = ("PATH", "LANG", "LC_ALL", "TERM", "NO_COLOR", "COLUMNS", "WATCHDOG_USEC")
#: mallopt(3). The unprivileged half makes and drops a few hundred kilobytes at every turn of every stream: left to itself,
#: malloc gives them back to the kernel each time, and a third of the time of a line goes into page faults.
_MALLOC = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(8 << 20)}
_LONGEST_DELAY = 10.0
_KEPT = 1000  # reports for the next one
_LAST_WORDS = 5.0  # seconds that it has to end by itself
_ROOM = 64  # reports waiting for it, from which on it is not heard
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EMSGSIZE)


class Daemon:
    def __init__(self, declared: Declared) -> None:
        self.declared = declared
        self.pid = 0
        self.socket: socket.socket | None = None
        self.queue: deque[tuple[bytes, int]] = deque()
        self.untold: deque[Report] = deque(maxlen=_KEPT)
        self.heard = False  # whether any daemon ever said a sound word
        self.mute = self.gone = False  # its sending side is closed, or both: no word can come any more
        self.deaths = 0
        self.due = 0.0  # when the next one is started
        self.since = 0.0

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        kept = {"spec": self.declared.spec, "ready": self.declared.ready if self.deaths == 0 else -1}
        before = process.block_signals()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._become(theirs.detach(), kept["spec"], kept["ready"])
            finally:
                os._exit(127)
        process.unblock_signals(before)
        theirs.close()
        if self.deaths == 0 and self.declared.ready >= 0:
            os.close(self.declared.ready)
        self.socket, self.since, self.mute, self.gone = ours, time.monotonic(), False, False
        while self.untold:
            self.send(self.untold.popleft())

    def _become(self, helper: int, spec: int, ready: int) -> None:
        # A session of its own: the terminal's Ctrl-C is the helper's to hear, and to pass on.
        os.setsid()
        process.reset_signals()
        for descriptor in (helper, spec, ready):
            if descriptor >= 0:
                os.set_inheritable(descriptor, True)
        os.lseek(spec, 0, os.SEEK_SET)
        python = self.declared.python
        arguments = [python, "-I", "-m", "supervisor.daemon", str(helper), str(spec), str(ready)]
        kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        os.execve(python, arguments, _MALLOC | kept)

    def died(self) -> None:
        """Reaped: the next one is due after a delay that grows while they die young."""
        self._close()
        self.pid = 0
        if time.monotonic() - self.since > _LONGEST_DELAY:
            self.deaths = 0
        self.deaths += 1
        self.due = time.monotonic() + min(0.05 * 2 ** (self.deaths - 1), _LONGEST_DELAY)

    def redeclared(self, declared: Declared) -> None:
        """The next daemon begins with this; the present one is told. Raises OSError, and then nothing is changed."""
        old = self.declared.spec
        self.declared = declared._replace(spec=os.dup(declared.spec))
        process.close(old)

    def receive(self) -> bytes | None:
        """The next message, b"" too; None when none waits.

        One over MAX is cut by the kernel and so decodes to nothing. Descriptors cannot come along:
        no room is given for them, so the kernel closes them.
        """
        assert self.socket
        try:
            return self.socket.recv(MAX + 1)
        except (BlockingIOError, ConnectionError):
            return None

    def send(self, report: Report, pidfd: int = -1) -> None:
        """Queue; with `pidfd` ≥ 0 a copy of it goes along (SCM_RIGHTS). Without a daemon it is dropped:
        the next one is told everything that matters when it comes, also who has visited meanwhile.
        """
        if self.socket:
            try:
                copy = os.dup(pidfd) if pidfd >= 0 else -1
            except OSError:  # no room for one: the word matters more
                copy = -1
            self.queue.append((encode_report(report), copy))
            self.flush()
        elif report.what == "visited":
            self.untold.append(report)

    def flush(self) -> None:
        """Send what the socket takes; the rest waits for it to be writable."""
        while self.queue and self.socket:
            data, descriptor = self.queue[0]
            extra = (
                [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [descriptor]))] if descriptor >= 0 else []
            )
            try:
                self.socket.sendmsg([data], extra)
            except OSError as error:
                if error.errno not in _GONE:
                    return
                # The daemon is gone; its death is reaped in a moment.
            self.queue.popleft()
            process.close(descriptor)

    def awaited(self) -> int:
        """The events of poll(2) that are of interest now.

        Each request is answered by at most one report, a reload by one for each container besides, so one who
        does not read the answers is not heard any more once they wait: what waits stays bounded.
        """
        heard = 0 if self.mute or len(self.queue) >= _ROOM else select.POLLIN | select.POLLRDHUP
        return heard | (select.POLLOUT if self.queue else 0)

    def end(self) -> None:
        """Close our end, which tells it to end; one that does not is killed."""
        self._close()
        if not self.pid:
            return
        try:
            if not self.heard or not self._ended(_LAST_WORDS):
                os.kill(self.pid, signal.SIGKILL)
        except OSError:
            os.kill(self.pid, signal.SIGKILL)  # our child, not reaped yet: its number is no stranger's
        os.waitpid(self.pid, 0)

    def kill(self) -> None:
        """It is written to be killed at any moment; the socket stays for `died` to close."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)

    def _ended(self, seconds: float) -> bool:
        pidfd = os.pidfd_open(self.pid)
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        try:
            return bool(poll.poll(seconds * 1000))
        finally:
            process.close(pidfd)

    def _close(self) -> None:
        if self.socket:
            process.close(self.socket.detach())
        self.socket = None
        for _, descriptor in self.queue:
            process.close(descriptor)
        self.queue.clear()
