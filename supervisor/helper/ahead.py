"""What the next launch of a container takes, made while the daemon decides about it.

Most containers that have just ended are launched again at once, and then wait for nothing but the helper. What a
launch takes is what it would make itself: the file of a program is taken only for the very segments that it was made of.
"""

import socket
from contextlib import suppress
from typing import NamedTuple

from supervisor.errors import KernelError
from supervisor.helper.launching import Known, Plan
from supervisor.kernel import memory, process
from supervisor.kernel.image import Segment, assemble

_MOST = 8  # each holds some hundred kilobytes, and three descriptors


class Begun(NamedTuple):
    """The `file` of a program, and the two ends of what its launch reports by: the caller's."""

    segments: tuple[Segment, ...]
    file: int
    ours: socket.socket
    theirs: socket.socket

    def drop(self) -> None:
        process.close(self.file, self.ours.detach(), self.theirs.detach())


class Ahead:
    def __init__(self, known: Known) -> None:
        self._known = known
        self._made: dict[Plan, Begun] = {}

    def make(self, plan: Plan) -> None:
        """What cannot be made now its launch will tell."""
        with suppress(KernelError, OSError):
            made = self.take(plan)
            if len(self._made) == _MOST:
                self.drop(next(iter(self._made)))
            self._made[plan] = made

    def take(self, plan: Plan) -> Begun:
        """Raises KernelError or OSError."""
        segments = plan.begin(self._known.get(plan.launch))
        made = self._made.pop(plan, None)
        if made is None:
            return _begin(segments)
        if _same(made.segments, segments):
            return made
        made.drop()
        return _begin(segments)

    def drop(self, plan: Plan) -> None:
        """Of one that is not launched again."""
        if made := self._made.pop(plan, None):
            made.drop()


def _same(made: tuple[Segment, ...], wanted: tuple[Segment, ...]) -> bool:
    return len(made) == len(wanted) and all(one is other for one, other in zip(made, wanted, strict=True))


def _begin(segments: tuple[Segment, ...]) -> Begun:
    file = memory.file("launch", assemble(segments))
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    except BaseException:
        process.close(file)
        raise
    return Begun(segments, file, ours, theirs)
