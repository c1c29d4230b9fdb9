"""A probe of a container that lives: root declared it, the daemon asks for it by name, and hears its end.

    helper ─clone3→ prober     in the container's cgroup. A command's prober is a visitor (helper.visit), and stays
                    │          as the waiter; any other enters the network namespace and looks by itself
                    └─clone3→ command    in a cage: with the service's namespaces and confinement, then execve

Laws: one at a time of a container and kind. Who probes has the timeout, whoever asked for it may be gone: when its time
is up, or the connection closed, all is killed that is in the cage. The helper waits for nothing of it, and tells
`probed` once nothing is left. Nothing that comes from the daemon reaches the command, its stdin is at its end.

Nothing here but `answer` returns to the caller.
"""

import os
import select
import signal
import socket
import time
from typing import NoReturn

from supervisor.errors import KernelError
from supervisor.helper import inside, visit
from supervisor.helper.asked import Visit
from supervisor.helper.cell import Cell
from supervisor.helper.daemon import Daemon
from supervisor.helper.entry import Entrance, owner
from supervisor.helper.inward import LOOKING, probing
from supervisor.helper.look import Look
from supervisor.helper.protocol import Probe, Report, Request
from supervisor.helper.refusals import failure_of, refusal
from supervisor.kernel import cage, caps, cgroup, namespaces, process
from supervisor.kernel.status import waited
from supervisor.kernel.zygote import FAILED

_NOBODY = 65534
_TOLD = 200  # characters of what a command said last
_TIMEOUT = "timeout"


def answer(request: Request, cell: Cell, daemon: Daemon) -> None:
    """Begin what is asked for and tell the daemon, or say why not."""
    name, run, kind = cell.launch.name, cell.run, request.kind
    told = Report("probing", name, run, path=kind)
    if kind == "notify":
        words = cell.files.open.get(kind, -1)
        if words < 0:
            daemon.send(_denied(request, "none is declared"))
        else:
            daemon.send(told._replace(ids=cell.launch.ids), words)
        return
    declared = cell.launch.ready if kind == "ready" else cell.launch.health
    if declared is None or kind in cell.probing:
        daemon.send(_denied(request, "none is declared" if declared is None else "one is under way"))
        return
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        try:
            cell.probing[kind] = _fork(cell, ours, declared, kind)
        except (KernelError, OSError) as error:
            visit.tell(ours, refusal(name, run, failure_of(error)))
            process.unblock_signals()  # which may be what failed
        daemon.send(told, theirs.fileno())
    if kind not in cell.probing:
        daemon.send(told._replace(what="probed"))


def _denied(request: Request, why: str) -> Report:
    return Report("denied", request.name, request.run, path=f"probe {request.kind}: {why}")


def ended(cell: Cell, pid: int) -> Report | None:
    """If that was a prober of the container: it has been reaped, and left nothing."""
    for kind, prober in cell.probing.items():
        if prober == pid:
            del cell.probing[kind]
            return Report("probed", cell.launch.name, cell.run, path=kind)
    return None


def _fork(cell: Cell, connection: socket.socket, probe: Probe, kind: str) -> int:
    # As for a launch: no handler of ours may run in the child.
    before = process.block_signals()
    try:
        pid, pidfd = cgroup.fork_into(cell.leaf, 0)
        if pid == 0:
            try:
                (_command if probe.argv else _look)(cell, connection, probe, kind)
            finally:
                os._exit(FAILED)
    finally:
        process.unblock_signals(before)
    process.close(pidfd)
    return pid


# ── through the network ────────────────────────────────────────────────────────────────


def _look(cell: Cell, connection: socket.socket, probe: Probe, kind: str) -> NoReturn:
    try:
        work, site = visit.entrance(cell, connection)
        visit.let_go(work, site)
        inside.take(work, LOOKING, site)
        if "net" in cell.launch.namespaces:
            namespaces.join_those_of(work.process, ("net",))
        _give_up(work, rootless=site.rootless)
        process.close_all_but({connection.fileno()})
        look, why, hint = Look(probe, connection), "", ""
        try:
            why = look.why_not()
        except TimeoutError:
            why, hint = f"no answer within {probe.timeout:g} s", _TIMEOUT
        visit.tell(
            connection,
            Report(
                "ended",
                cell.launch.name,
                cell.run,
                stage="network",
                code=1 if why else 0,
                path=why,
                hint=hint,
            ),
        )
        look.read_out()
    except BaseException as error:
        visit.fail(cell, connection, kind, error)
    os._exit(0)


def _give_up(work: Entrance, *, rootless: bool) -> None:
    """All power, and with it the host's root: what answers is the container's."""
    caps.limit_bounding(())
    if not rootless:
        nobody = owner(work.ids, 0) if work.ids >= 0 else _NOBODY
        process.become(nobody, nobody, ())
    caps.take_exactly((), root=True)
    process.no_new_privileges()
    process.set_undumpable()


# ── by a command ───────────────────────────────────────────────────────────────────────


def _command(cell: Cell, connection: socket.socket, probe: Probe, kind: str) -> NoReturn:
    begun = time.monotonic()
    try:
        connection.setblocking(True)
        work, site = visit.entrance(cell, connection)
        inner = cage.make(cell.leaf.unified, f"probe-{kind}")
        visit.let_go(work, site, *inner.descriptors)
        left = probe.timeout - (time.monotonic() - begun)  # the clock may be another one in there
        inside.take(work, probing(cell.launch), site)
        pid, pidfd = inner.fork_into()
    except BaseException as error:
        visit.fail(cell, connection, kind, error)
    if pid == 0:
        visit.command(cell, work, Visit(cell.launch.name, probe.argv), site, connection)
    _attend(cell, inner, Attended(pid, pidfd, work.heard, connection, left))


class Attended:
    """A command that runs: its PID and pidfd, its output, who waits for it, and the seconds it has left."""

    def __init__(self, pid: int, pidfd: int, output: int, connection: socket.socket, left: float) -> None:
        self.pid, self.pidfd, self.output, self.connection = pid, pidfd, output, connection
        self.deadline = time.monotonic() + left
        self.said = b""

    def wait(self) -> str:
        """Until it has ended: "", or until nobody waits for it any more, or its time is up: "timeout"."""
        poll = select.poll()
        for one in (self.pidfd, self.output, self.connection.fileno()):
            poll.register(one, select.POLLIN)
        while (left := self.deadline - time.monotonic()) > 0:
            ready = {descriptor for descriptor, _ in poll.poll(left * 1000)}
            if self.output in ready and not self._listen():
                poll.unregister(self.output)
            if self.pidfd in ready:
                self._listen()
                return ""
            if self.connection.fileno() in ready:
                return "alone"
        return _TIMEOUT

    def _listen(self) -> bool:
        """Take what it has said, so that it need not wait to say more; False at the end of that."""
        try:
            data = os.read(self.output, 1 << 16)
        except BlockingIOError:
            return True
        self.said = (self.said + data)[-4 * _TOLD :]
        return bool(data)

    def last_line(self) -> str:
        lines = self.said.decode("utf-8", "replace").split("\n")
        words = next((line for line in reversed(lines) if line.strip()), "")
        return "".join(letter if letter.isprintable() else "?" for letter in words.strip())[-_TOLD:]


def _attend(cell: Cell, inner: cage.Cage, one: Attended) -> NoReturn:
    """Outside the container's PID namespace, with the one power to kill, until the cage is empty."""
    report = Report("ended", cell.launch.name, cell.run)
    try:
        process.close_all_but({one.pidfd, one.output, one.connection.fileno(), *inner.descriptors})
        os.set_blocking(one.output, False)
        caps.keep_only(("KILL",))
        process.no_new_privileges()
        process.set_undumpable()
        over = one.wait()
        if not over:
            _, status = os.waitpid(one.pid, 0)
            report = report._replace(path=one.last_line(), **waited(status)._asdict())
        else:
            report = report._replace(signal=signal.SIGKILL, hint=over, path=one.last_line())
        visit.tell(one.connection, report)
    finally:
        try:
            inner.end()
        finally:
            os._exit(0)
