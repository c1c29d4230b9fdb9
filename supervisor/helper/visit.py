"""A command in a container that lives: who enters, and who waits for it.

    helper ─clone3→ visitor    born in the container's cgroup; enters its namespaces, all but the
                    │          user's and the PIDs', which is for its child; stays as the waiter
                    └─fork→ command    inside: takes all that the service took, then execve

The helper does not wait for any of it and keeps nothing of it: who entered ends with the container's
cgroup, if not before. What there is to say goes to the operator over the connection, as reports: the
command holds it until its execve, the waiter until the command has ended. From the operator come
requests for signals, and by closing the connection a SIGHUP.

Nothing here but `answer` and its parts that helper.probe shares returns to the caller.
"""

import os
import select
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import NoReturn

from supervisor.errors import KernelError, ProtocolError
from supervisor.helper import inside, policy
from supervisor.helper.accounts import Account, look_up
from supervisor.helper.asked import Visit
from supervisor.helper.cell import Cell
from supervisor.helper.daemon import Daemon
from supervisor.helper.door import Guest, deny
from supervisor.helper.entry import Entrance
from supervisor.helper.inward import entering, visiting
from supervisor.helper.protocol import MAX, Report, decode_request, encode_report
from supervisor.helper.refusals import failure_of, refusal
from supervisor.helper.world import Site
from supervisor.kernel import caps, cgroup, process
from supervisor.kernel.status import waited
from supervisor.kernel.zygote import FAILED

_WHY_NOT = {
    policy.IDLE: "is not running",
    policy.LAUNCHING: "is only being started",
    policy.ENDING: "is ending",
}
_LOGGED = 256  # characters of the command that a record holds


def answer(guest: Guest | None, declared: Mapping[str, Cell], daemon: Daemon, *, stopping: bool) -> None:
    """Let a guest in and tell the daemon, or say why not."""
    if guest is None:
        return
    connection, visit, pid = guest
    with connection:
        cell = declared.get(visit.name)
        if cell is None:
            deny(connection, "", "not-found", f'no container is called "{visit.name[:80]}"')
        elif stopping:
            deny(connection, visit.name, "conflict", "the supervisor is stopping")
        elif cell.phase != policy.LIVE:
            deny(connection, visit.name, "conflict", f"{visit.name} {_WHY_NOT[cell.phase]}")
        else:
            try:
                _fork(cell, connection, visit)
            except (KernelError, OSError) as error:
                tell(connection, refusal(visit.name, cell.run, failure_of(error)))
                process.unblock_signals()  # which may be what failed
            else:
                command = visit.argv[0][:_LOGGED]
                daemon.send(Report("visited", visit.name, cell.run, pid=pid, path=command))


def _fork(cell: Cell, connection: socket.socket, visit: Visit) -> None:
    # As for a launch: no handler of ours may run in the child.
    before = process.block_signals()
    try:
        pid, pidfd = cgroup.fork_into(cell.leaf, 0)
        if pid == 0:
            try:
                _visitor(cell, connection, visit)
            finally:
                os._exit(FAILED)
    finally:
        process.unblock_signals(before)
    process.close(pidfd)


def _visitor(cell: Cell, connection: socket.socket, visit: Visit) -> NoReturn:
    try:
        connection.setblocking(True)
        work, site = entrance(cell, connection)
        let_go(work, site)
        inside.take(work, visiting(cell.launch, visit), site)
        pid = os.fork()
    except BaseException as error:
        fail(cell, connection, "fork", error)
    if pid == 0:
        command(cell, work, visit, site, connection)
    _wait(cell, pid, connection)


def entrance(cell: Cell, connection: socket.socket) -> tuple[Entrance, Site]:
    """By PID 1, which is ours where the container has our init. Without root its namespaces are not for us
    to enter: it has our memory, which belongs to the user's own namespace outside.
    """
    rootless = cell.place.rootless
    entered = cell.service_pidfd if rootless else cell.init_pidfd
    # A run that another helper launched: its user namespace is told by its PID 1 alone.
    site = cell.plan.site._replace(userns=cell.userns if cell.userns >= 0 else entered)
    return Entrance(entered, connection.fileno(), cell.launch.ids), site


def let_go(work: Entrance, site: Site, *more: int) -> None:
    """As at a launch: nothing of the helper's comes along, and nothing is imported any more."""
    process.set_undumpable()
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(null, number)
    process.close_all_but({work.connection, work.process, site.userns, *more})
    sys.meta_path.clear()
    sys.path.clear()


def command(cell: Cell, work: Entrance, visit: Visit, site: Site, connection: socket.socket) -> NoReturn:
    try:
        process.leave_signals()
        account = _account(cell)
        inside.take(work, entering(cell.launch, cell.plan.filters, visit, account), site)
    except BaseException as error:
        fail(cell, connection, "exec", error)
    os._exit(FAILED)


def _account(cell: Cell) -> Account:
    """As the container says now. Raises StepError."""
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return cell.plan.checked(look_up(here, cell.launch.user, cell.launch.groups))
    except KernelError as error:
        raise inside.StepError("user", error.errno, error.path, error.call) from None
    finally:
        os.close(here)


def fail(cell: Cell, connection: socket.socket, stage: str, error: BaseException) -> NoReturn:
    try:
        tell(connection, refusal(cell.launch.name, cell.run, inside.failure_of(stage, error)))
    finally:
        os._exit(FAILED)


def tell(connection: socket.socket, report: Report) -> None:
    with suppress(OSError):  # it has gone
        connection.send(encode_report(report))


# ── the waiter ─────────────────────────────────────────────────────────────────────────


def _wait(cell: Cell, command: int, connection: socket.socket) -> NoReturn:
    """Outside the container's PID namespace, with the one power to send signals, until the command ends.

    All signals to the waiter itself stay blocked: what is to reach the command comes by the connection.
    """
    try:
        process.close_all_but({connection.fileno()})
        end = os.pidfd_open(command)
        caps.keep_only(("KILL",))
        process.no_new_privileges()
        process.set_undumpable()
        poll = select.poll()
        poll.register(end, select.POLLIN)
        poll.register(connection, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if end in ready:
                break
            if not _pass_on(command, connection):
                poll.unregister(connection)
                for number in (signal.SIGHUP, signal.SIGCONT):
                    _signal(command, number)
        _, status = os.waitpid(command, 0)
        tell(connection, Report("ended", cell.launch.name, cell.run, **waited(status)._asdict()))
    except BaseException:
        _signal(command, signal.SIGKILL)  # nobody attends it
    finally:
        os._exit(0)


def _pass_on(command: int, connection: socket.socket) -> bool:
    """The signal that is asked for; False when nobody is there any more."""
    try:
        data = connection.recv(MAX + 1)
    except OSError:
        return False
    if data:
        with suppress(ProtocolError):
            request = decode_request(data)
            if request.do == "signal":
                _signal(command, request.signal)
    return bool(data)


def _signal(command: int, number: int) -> None:
    """To the command's process group; before it has one, to the command."""
    with suppress(OSError, ValueError):
        try:
            os.killpg(command, number)
        except ProcessLookupError:
            os.kill(command, number)
