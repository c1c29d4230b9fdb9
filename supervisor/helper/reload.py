"""A reload, from the request to its report: one at a time, and never waited for.

What the files say takes the place of what was declared in one step of the loop, between two messages. So a
daemon that dies at any moment is followed by one that starts from either; what lives and was declared anew, or is
not declared any more, its successor hears of (`stale`), or it is ended here.
"""

import os
import select

from supervisor.errors import KernelError
from supervisor.helper.daemon import Daemon
from supervisor.helper.protocol import Declared, Report
from supervisor.helper.reading import Reading
from supervisor.helper.rights import needed
from supervisor.helper.table import Table
from supervisor.kernel import process


class Reload:
    def __init__(
        self, declared: Declared, table: Table, daemon: Daemon, poll: select.poll, *, rootless: bool
    ) -> None:
        self.table, self.daemon, self.poll, self.rootless = table, daemon, poll, rootless
        self.rights = needed(declared.containers)  # what was kept at the start
        self.reading: Reading | None = None

    def due(self) -> list[float]:
        return [self.reading.due] if self.reading else []

    def begin(self, *, apply: bool) -> None:
        if self.reading:
            self.daemon.send(Report("denied", path="reload: one is under way"))
            return
        try:
            self.reading = Reading(
                self.daemon.declared, self.table.ids(), apply=apply, rootless=self.rootless
            )
        except (OSError, KernelError) as error:  # no process or descriptor is left to be had
            self.daemon.send(_unread(error))
            process.unblock_signals()  # which may be what failed
            return
        self.poll.register(self.reading, select.POLLIN)

    def reaped(self, pid: int) -> bool:
        """Whether the process that has ended was ours."""
        if self.reading is None or pid != self.reading.pid:
            return False
        self.reading.reaped = True
        return True

    def go_on(self) -> None:
        """Carry out what has been read, if it has."""
        answer = self.reading.answer(self.rights) if self.reading else None
        if self.reading is None or answer is None:
            return
        apply = self.reading.apply
        self.end()
        try:
            if answer.declared is None:
                self.daemon.send(Report("unread", path=answer.text), answer.problems)
            else:
                self._take_up(answer.declared, apply=apply)
        except OSError as error:
            self.daemon.send(_unread(error))
        finally:
            answer.close()

    def _take_up(self, declared: Declared, *, apply: bool) -> None:
        """What can go wrong goes wrong before anything is changed."""
        if apply:
            self.daemon.redeclared(declared)
            for report in self.table.declare(declared):
                self.daemon.send(report)
        self.daemon.send(Report("read", applied=apply), declared.spec)

    def end(self, *, wait: bool = False) -> None:
        """Let go of the reading under way; `wait`: until its process is gone, too."""
        if self.reading:
            self.poll.unregister(self.reading)
            self.reading.close()
            if wait and not self.reading.reaped:
                os.waitpid(self.reading.pid, 0)
            self.reading = None


def _unread(error: OSError | KernelError) -> Report:
    return Report("unread", path=f"the files could not be read: {os.strerror(error.errno or 0)}")
