"""A launch under way: what the process that carries its program out says, and what it is told.

It introduces the service, whose PID is the kernel's word; it asks whose account that takes, where the container's files say
what no launch has read of them yet; and when it fails it says at which call. Then the socket comes to its end.
"""

import contextlib
import os
from collections.abc import Callable

from supervisor.errors import KernelError
from supervisor.helper import accounts, notes, service
from supervisor.helper.ahead import Begun
from supervisor.helper.launching import Known, Plan
from supervisor.helper.refusals import Failure, failure_of
from supervisor.kernel import process
from supervisor.kernel.zygote import TOLD

_LONGEST = 8 * TOLD  # bytes of what it says


class Birth:
    """`introduce` is called with the service's PID and a pidfd of it, which it owns from then on; it may raise OSError.
    The `program` of it is a file. With `known` accounts later launches need not ask.
    """

    def __init__(self, plan: Plan, known: Known, begun: Begun, introduce: Callable[[int, int], None]) -> None:
        self.program, self._report = begun.file, begun.ours
        self.failure: Failure | None = None
        self._plan, self._known, self._introduce = plan, known, introduce

    def fileno(self) -> int:
        return self._report.fileno()

    def listen(self) -> bool:
        """Take what it says; True once it has said all: `failure`, or exec succeeded if the service was introduced."""
        while True:
            try:
                data, extra, _, _ = self._report.recvmsg(_LONGEST, notes.ROOM)
            except BlockingIOError:
                return False
            except ConnectionResetError:  # it has ended without hearing what we said
                return True
            if not data:
                return True
            try:
                self._told(data, extra)
            except KernelError as error:  # there is nobody whom it could become
                self.failure = failure_of(error)
            except OSError as error:  # nobody could signal it, or a helper that comes after not know of it
                self.failure = failure_of(error, "note")
            if self.failure:  # whoever else is of it may wait for a word of ours, and is ended
                return True

    def _told(self, data: bytes, extra: list[tuple[int, int, bytes]]) -> None:
        if data == service.SERVICE:
            self._introduce(*notes.introduced(extra))
            if self._plan.launch.init:
                self._say(service.HEARD)
        elif files := accounts.asked(data, self.program):
            os.pwrite(self.program, self._plan.answer(files), accounts.ANSWER_AT)
            self._known.put(self._plan.launch, files)
            self._say(accounts.ANSWER)
        else:
            self.failure = self._plan.failure(data)

    def _say(self, word: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it has ended, which it tells by itself
            self._report.send(word)

    def close(self) -> None:
        process.close(self._report.detach(), self.program)
