"""Runs under way, and by which descriptor each says that it goes on.

launching  the socket on which it reports
live       its PID 1's pidfd, if another helper bore it; ours are heard of by SIGCHLD
ending     the events of its cgroup, until that is empty
"""

import select

from supervisor.errors import KernelError
from supervisor.helper import policy
from supervisor.helper.cell import EVENTS, Cell
from supervisor.helper.daemon import Daemon
from supervisor.helper.refusals import failure_of
from supervisor.helper.table import Table


class Runs:
    """What becomes of them is told to `daemon`. Methods raise OSError or KernelError where it cannot be seen now;
    `look_again` sees all that was missed.
    """

    def __init__(self, table: Table, poll: select.poll, daemon: Daemon) -> None:
        self._table, self._poll, self._daemon = table, poll, daemon
        self._waiting: dict[int, Cell] = {}  # by descriptor
        self._inits: dict[int, Cell] = {}  # PID 1 that is our child → cell
        self._ended: Cell | None = None

    def knows(self, descriptor: int) -> bool:
        return descriptor in self._waiting

    def hear(self, descriptor: int) -> None:
        self._go_on(self._waiting[descriptor])

    def hear_launches(self) -> None:
        """What they have said; who has ended meanwhile may have said whose PID is whose."""
        for cell in [one for one in self._waiting.values() if one.phase == policy.LAUNCHING]:
            self._go_on(cell)

    def look_again(self) -> None:
        for cell in list(self._table.cells.values()):
            self._watch(cell)

    @property
    def settled(self) -> bool:
        """Whether none begins or ends."""
        return all(one.phase == policy.LIVE for one in self._waiting.values())

    def last_ended(self) -> Cell | None:
        """Since this was asked the last time."""
        ended, self._ended = self._ended, None
        return ended

    def adopt(self) -> bool:
        """What a helper that crashed left running is ours now; whether there was anything."""
        found = False
        for cell in list(self._table.cells.values()):
            if cell.adopt() and cell.phase == policy.LIVE:
                self._inits[cell.init] = cell
                self._await(cell, cell.init_pidfd, select.POLLIN)
            self._watch(cell)
            found = found or cell.phase != policy.IDLE
        return found

    def launch(self, cell: Cell, run: int) -> bool:
        """False where our own signals may have stayed blocked. A failure is told when nothing is left of it."""
        sound = True
        try:
            cell.start(run)
        except (KernelError, OSError) as error:
            cell.failure = failure_of(error)
            cell.end()  # something may have been born all the same
            sound = not (isinstance(error, KernelError) and error.call == "sigprocmask")
        else:
            assert cell.birth
            self._await(cell, cell.birth.fileno(), select.POLLIN)
        if cell.init:
            self._inits[cell.init] = cell
        self._watch(cell)
        return sound

    def reaped(self, pid: int, status: int) -> bool:
        """Whether the process that has ended was the PID 1 of one; `status` is its wait status."""
        cell = self._inits.pop(pid, None)
        if cell is None:
            return False
        self._forget(cell.init_pidfd)  # waited for where it was adopted; it is closed at the end
        cell.reaped(status)
        self._watch(cell)
        return True

    def _go_on(self, cell: Cell) -> None:
        if cell.birth:
            descriptor = cell.birth.fileno()
            if not cell.birth.listen():
                return
            self._forget(descriptor)
            started = cell.launched()
            if started:
                self._daemon.send(started, cell.init_pidfd)
                if not cell.init:  # reaped already, before the last word of its launch was read
                    cell.end()
        elif cell.phase == policy.LIVE and cell.init:
            self._forget(cell.init_pidfd)  # adopted: no child of ours perhaps, so its pidfd told us
            self._inits.pop(cell.init, None)
            cell.vanished()
        self._watch(cell)

    def _watch(self, cell: Cell) -> None:
        """Wait for the cgroup of an ending run to be empty, or finish it when it is."""
        if cell.phase != policy.ENDING:
            return
        if cell.over():
            self._forget(cell.events)
            if report := self._table.finished(cell):
                self._daemon.send(report)
                self._ended = cell
        elif cell.events not in self._waiting:
            self._await(cell, cell.events, EVENTS)

    def _await(self, cell: Cell, descriptor: int, events: int) -> None:
        self._waiting[descriptor] = cell
        self._poll.register(descriptor, events)

    def _forget(self, descriptor: int) -> None:
        if self._waiting.pop(descriptor, None):
            self._poll.unregister(descriptor)
