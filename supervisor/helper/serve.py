"""The helper's loop: requests in, launches and kernel words out, reports back.

One thread, one poll(2), no timeouts but the daemon's restart delay and a bound for reading files: all else is
an event (a message, SIGCHLD, a cgroup that became empty, a launch that said its last word). A launch
never holds the loop up: all set-up is done by the process that is born. A system call that fails in the
loop, for want of memory or descriptors, ends nothing but the turn: everything is looked at again.
"""

import os
import select
import signal
import sys
import time
from contextlib import suppress

from supervisor.errors import KernelError, ProtocolError
from supervisor.helper import policy, probe, successor, visit
from supervisor.helper.cell import Cell
from supervisor.helper.daemon import Daemon
from supervisor.helper.door import Door
from supervisor.helper.hearing import Hearing, Presses
from supervisor.helper.holder import Holder
from supervisor.helper.notify import notify
from supervisor.helper.protocol import Declared, Report, Request, decode_request
from supervisor.helper.reload import Reload
from supervisor.helper.runs import Runs
from supervisor.helper.subtree import Subtree
from supervisor.helper.table import Table
from supervisor.kernel import process

_HEARD = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)
_QUIET = 3  # milliseconds without a word, after which there is time
_SOON = 0.001  # seconds within which most daemons have decided
_BREATH = 0.05  # seconds until what failed is looked at again


class Helper:
    def __init__(self, declared: Declared, tree: Subtree, *, rootless: bool) -> None:
        self.tree = tree
        self.poll = select.poll()
        self.hearing = Hearing(self.poll, _HEARD)
        self.daemon = Daemon(declared)
        self.daemon.start()  # it imports its code while the table is made
        try:
            self.table = Table(declared, tree, _small_holder(tree), rootless=rootless)
        except BaseException:
            self.daemon.end()
            raise
        self.cells = self.table.cells
        self.detached = declared.ready >= 0
        self.door = Door(declared.runtime_dir, self.poll)
        self.reload = Reload(declared, self.table, self.daemon, self.poll, rootless=rootless)
        self.runs = Runs(self.table, self.poll, self.daemon)
        self.presses, self.reload_wanted, self.code = Presses(), False, 0
        self.crashed, self.adopted = True, False  # one before us may have crashed, and left containers
        self.again = self.done = False  # `again`: something failed, so everything is looked at again
        self.stopping = False  # the end has begun: a daemon that dies now is not started again

    # ── the loop ───────────────────────────────────────────────────────────────────────

    def run(self) -> int:
        self._adopt()
        self._greet_daemon()
        while not self.done:
            try:
                self._turn()
            except (OSError, KernelError) as error:
                if self.done:
                    raise
                self._troubled(error)
        return self.code

    def _turn(self) -> None:
        if self.again:
            process.unblock_signals()
            self._reap()
            self.table.end_orphaned()
            self.runs.look_again()
            self.again = False
        for descriptor, event in self._heard():
            self._handle(descriptor, event)
        self._on_signals()
        self.reload.go_on()
        if not self.daemon.pid and not self.done:
            self._without_daemon()
        self._mind_queue()
        if not self.done:
            self._mind_holder()

    def _heard(self) -> list[tuple[int, int]]:
        """What there is to do; while there is nothing, the next launch is made easier: that of what has just ended, and
        while no run begins or ends, of any.
        """
        hearing, spare = self.hearing, self.table.place.spare
        ended = None if self.stopping else self.runs.last_ended()
        if ended:
            if (found := hearing.wait(0)) or hearing.told:
                return found
            ended.foresee()
            if (found := hearing.wait_awake(_SOON)) or hearing.told:
                return found
        if spare.wanted and not self.stopping and self.runs.settled:
            if (found := hearing.wait(_QUIET)) or hearing.told:
                return found
            spare.make()
        return hearing.wait(self._patience())

    def _troubled(self, error: OSError | KernelError) -> None:
        self.again = True
        with suppress(OSError):
            print(f"supervisor: helper: {error}; trying again", file=sys.stderr, flush=True)
        time.sleep(_BREATH)

    def _patience(self) -> float | None:
        due = self.reload.due() + ([] if self.daemon.pid or self.stopping else [self.daemon.due])
        due += [time.monotonic() + _BREATH] if self.table.place.holder.behind else []
        return max(0.0, min(due) - time.monotonic()) * 1000 if due else None

    def _handle(self, descriptor: int, event: int) -> None:
        if self.daemon.socket and descriptor == self.daemon.socket.fileno():
            self._on_daemon(event)
        elif self.runs.knows(descriptor):
            self.runs.hear(descriptor)
        elif self.door.knows(descriptor):
            visit.answer(self.door.hear(descriptor), self.cells, self.daemon, stopping=self.stopping)

    def _on_signals(self) -> None:
        numbers = self.hearing.heard()
        if numbers:
            self.door.unlock()
        for number in numbers:
            if number == signal.SIGCHLD:
                continue
            if number == signal.SIGHUP:
                self.reload_wanted = True  # until a daemon asks for it: this one may be dying
                self.daemon.send(Report("asked", path="reload"))
            elif number == signal.SIGUSR2:
                self._give_way()
            elif not self.done:
                self._stop_asked(number)
        if numbers:
            self._reap()

    def _give_way(self) -> None:
        """To the program as it is installed now; what cannot be executed leaves everything as it was, but for the daemon."""
        if self.stopping or self.done or self.table.place.rootless:
            return
        self.reload.end(wait=True)
        self.daemon.kill()
        self._forget_daemon()
        successor.become(self.daemon.declared)

    def _stop_asked(self, number: int) -> None:
        if not self.presses.counts(number):
            return
        if self.presses.unheeded:
            self._exit()
        else:
            self.daemon.send(Report("asked", path=self.presses.wanted))

    def _reap(self) -> None:
        self.runs.hear_launches()
        while found := process.ended_child():
            pid, status = found
            try:
                self._ended(pid, status)
            finally:  # which takes the kernel some time; the daemon knows already
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)

    def _ended(self, pid: int, status: int) -> None:
        if pid == self.daemon.pid:
            self._forget_daemon()
            return
        if self.reload.reaped(pid) or self.table.place.holder.reaped(pid) or self.runs.reaped(pid, status):
            return
        for cell in self.cells.values():
            if report := probe.ended(cell, pid):
                self.daemon.send(report)
                return

    def _adopt(self) -> None:
        """What a helper that crashed left running is ours now; what is not declared any more is ended."""
        for name in self.tree.strangers(frozenset(self.cells)):
            self.tree.end_stranger(name)
        for name in self.table.forgotten():
            self.table.take_in(name)
        self.adopted = self.runs.adopt()
        self.table.end_orphaned()

    def _mind_holder(self) -> None:
        """Those of helpers that crashed are ended once this helper and its own have open what they hold."""
        holder = self.table.place.holder
        holder.go_on()
        if self.crashed and holder.settled:
            self.tree.end_holders(holder.folders)
            self.crashed = False

    # ── the daemon ─────────────────────────────────────────────────────────────────────

    def _greet_daemon(self) -> None:
        """All that one who has just been started has to know."""
        assert self.daemon.socket
        self.poll.register(self.daemon.socket, self.daemon.awaited())
        for report, pidfd in self.table.known():
            self.daemon.send(report, pidfd)
        if self.presses.wanted:  # asked while there was no daemon to hear it
            self.daemon.send(Report("asked", path=self.presses.wanted))
        if self.reload_wanted:
            self.daemon.send(Report("asked", path="reload"))
        self.daemon.send(Report("told"))
        self._mind_queue()  # it may be more than its socket takes at once

    def _forget_daemon(self) -> None:
        if self.daemon.socket:
            with suppress(KeyError):  # it had closed its end before
                self.poll.unregister(self.daemon.socket)
        self.daemon.died()
        self.reload.end()  # it was for the one that died
        self.table.orphan_retired()

    def _without_daemon(self) -> None:
        if self.stopping:
            self._exit()
        elif not self.daemon.heard and not self.adopted:
            self.code = 1  # it cannot even start; it has said why on stderr
            self._exit()
        elif time.monotonic() >= self.daemon.due:
            self.daemon.start()
            self._greet_daemon()

    def _on_daemon(self, event: int) -> None:
        data = self.daemon.receive() if event & select.POLLIN else None
        if data or (data is not None and not event & (select.POLLHUP | select.POLLRDHUP)):
            self._on_message(data)
        elif event & select.POLLHUP and self.daemon.socket:
            self.poll.unregister(self.daemon.socket)  # its end is closed; its death is reaped by itself
            self.daemon.mute = self.daemon.gone = True
        elif event & select.POLLRDHUP:
            self.daemon.mute = True

    def _mind_queue(self) -> None:
        self.daemon.flush()
        if self.daemon.socket and not self.daemon.gone and not self.done:
            self.poll.modify(self.daemon.socket, self.daemon.awaited())

    def _on_message(self, data: bytes) -> None:
        try:
            request = decode_request(data)
        except ProtocolError as error:
            self.daemon.send(Report("denied", path=str(error)))
            return
        self.daemon.heard = True
        cell = self.cells.get(request.name)
        known = (cell.phase, cell.run, cell.retired) if cell else (None, 0, False)
        objection = policy.objection(request, *known)
        if objection:
            for report in self.table.denied(request, objection):
                self.daemon.send(report)
        elif cell:
            self._act(request, cell)
        elif request.do == "notify":
            self.stopping = self.stopping or request.state == "STOPPING=1"
            notify(request.state)
            if request.state == "READY=1" and self.detached:
                process.let_go_of_stderr()
        elif request.do == "reload":
            self.reload_wanted = self.reload_wanted and not request.apply
            self.reload.begin(apply=request.apply)
        else:
            self._exit()

    def _act(self, request: Request, cell: Cell) -> None:
        if request.do == "launch":
            self.again = not self.runs.launch(cell, request.run) or self.again
        elif request.do == "signal":
            cell.signal(request.signal)
        elif request.do == "kill":
            cell.kill()
        elif request.do == "probe":
            probe.answer(request, cell, self.daemon)
        else:
            self.daemon.send(self.table.removed(cell))

    # ── the end ────────────────────────────────────────────────────────────────────────

    def _exit(self) -> None:
        """End what still lives and leave nothing: no process, cgroup, FIFO or socket."""
        self.done = True
        self.door.close()
        self.reload.end(wait=True)
        self.table.place.holder.end()
        for cell in self.cells.values():
            if cell.phase != policy.IDLE:
                self.tree.end(cell.leaf)
            cell.remove()
        self.table.place.zygote.end()
        self.daemon.end()
        self.tree.close()


def _small_holder(tree: Subtree) -> Holder:
    """Before there is a table, its processes begin with few pages of ours; without means for one now, it gets one later."""
    holder = Holder(tree.new_holders())
    with suppress(KernelError, OSError):
        holder.go_on()
    return holder
