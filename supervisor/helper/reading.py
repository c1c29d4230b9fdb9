"""Root's files, read again by a short-lived process of root's own.

The helper parses nothing. It forks a program that does what `supervisor start` did: it reads the files from the
same path, in the same working directory, with the same umask and environment, and hands back two sealed
memory files (what is declared, and the daemon's part of it), or one with every problem. Meanwhile the helper
goes on; a child that is not done in time is killed, one that dies has said nothing, and then nothing has
changed. What it hands back is root's, and still checked: sealed, of this instance, and launchable with
the rights that are left.
"""

import fcntl
import os
import signal
import socket
import time
from array import array
from contextlib import suppress
from io import BufferedWriter
from typing import NamedTuple

from supervisor import __version__
from supervisor.helper import rights
from supervisor.helper.again import Again, encode_again
from supervisor.helper.protocol import Declared, decode_declared
from supervisor.kernel import process

#: Seconds; reading takes a tenth of one. It bounds a file system that hangs.
PATIENCE = 120.0
_SEALS = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
_WORD = 64
_ROOM_FOR_FDS = socket.CMSG_SPACE(2 * array("i").itemsize)
_SILENT = "the process that read the files ended without an answer; it may have said why on stderr"
_STALE = "the program has changed since the supervisor was started: stop it and start it again"


class Answer(NamedTuple):
    """`declared` with `spec`, a descriptor; or why not: `problems`, a descriptor, or without one `text`."""

    declared: Declared | None = None
    spec: int = -1
    problems: int = -1
    text: str = ""

    def close(self) -> None:
        for descriptor in (self.spec, self.problems):
            if descriptor >= 0:
                os.close(descriptor)


class Reading:
    """One child, from its fork to its answer. `held` are ids that containers have."""

    def __init__(self, declared: Declared, held: dict[str, int], *, apply: bool, rootless: bool) -> None:
        self.declared, self.apply, self.rootless = declared, apply, rootless
        self.due = time.monotonic() + PATIENCE
        self.reaped = False
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.setblocking(False)
        with theirs, _memory() as request:
            request.write(encode_again(Again(self._instance(declared), held, apply, rootless)))
            request.flush()
            self.pid = self._fork(theirs.fileno(), request.fileno())

    def _fork(self, answer: int, request: int) -> int:
        before = process.block_signals()
        try:
            pid = os.fork()
            if pid == 0:
                try:
                    self._become(answer, request)
                finally:
                    os._exit(127)
            return pid
        finally:
            process.unblock_signals(before)

    def _become(self, answer: int, request: int) -> None:
        os.setsid()
        process.reset_signals()
        descriptors = (answer, request, self.declared.spec)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        python = self.declared.python
        arguments = [python, "-I", "-m", "supervisor.cli.declare", *map(str, descriptors)]
        os.execve(python, arguments, dict(os.environ))

    def _instance(self, declared: Declared) -> Declared:
        """What must stay as it is: all but the containers, and descriptors, which are each process's own."""
        return declared._replace(containers=(), filters=(), spec=-1, ready=-1, locks=())

    def fileno(self) -> int:
        return self.socket.fileno()

    def answer(self, kept: tuple[str, ...]) -> Answer | None:
        """What it has to say, if it has; `kept` are the capabilities that are left. None: not yet."""
        if time.monotonic() >= self.due:
            return Answer(text=f"the files could not be read within {PATIENCE:g} s")
        try:
            word, extra, _, _ = self.socket.recvmsg(_WORD, _ROOM_FOR_FDS, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return None
        except ConnectionError:
            word, extra = b"", []
        descriptors = array("i")
        for _, _, data in extra:
            descriptors.frombytes(data[: len(data) // descriptors.itemsize * descriptors.itemsize])
        try:
            return self._judge(word, list(descriptors), kept)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def _judge(self, word: bytes, sent: list[int], kept: tuple[str, ...]) -> Answer:
        if word == b"problems" and len(sent) == 1 and _sealed(sent[0]):
            return Answer(problems=os.dup(sent[0]))
        if word != f"declared {__version__}".encode() or len(sent) != 2 or not all(map(_sealed, sent)):
            return Answer(text=_STALE if word.startswith(b"declared") else _SILENT)
        try:
            declared = decode_declared(_content(sent[0]))
        except (ValueError, TypeError, LookupError):
            return Answer(text=_STALE)
        if self._instance(declared) != self._instance(self.declared):
            return Answer(text=_STALE)
        if not self.rootless and (objection := rights.lacking(declared.containers, kept)):
            return Answer(text=objection)
        spec = os.dup(sent[1])
        mine = self.declared
        return Answer(declared._replace(spec=spec, ready=mine.ready, locks=mine.locks), spec)

    def close(self) -> None:
        """End it, whatever it is doing; its descriptor must be out of every poll."""
        self.socket.close()
        if not self.reaped:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def _memory() -> BufferedWriter:
    return os.fdopen(os.memfd_create("request", os.MFD_CLOEXEC), "wb")


def _sealed(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:
        return False


def _content(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
