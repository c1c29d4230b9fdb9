"""The init shim, PID 1 of a container: reaps, forwards signals, records the exit status.

It is the launching fork itself; if it has long to wait it executes a program of three hundred bytes that does the
same (helper.shim), for a forked Python costs a megabyte. It holds nothing a service could use: no privileges but the service's own account,
no descriptor but the exit file, and it cannot be traced or read through /proc/1 (it is not
dumpable). The kernel delivers to PID 1 no signal it has no handler for, so a service cannot end it.

The exit file holds one line, "CODE SIGNAL", the unused one -1: what the service ended with, exact
even if the helper is gone when it does.
"""

import os
import signal
import socket
from contextlib import suppress
from typing import NoReturn

from supervisor.helper import shim
from supervisor.helper.accounts import Account
from supervisor.helper.workplace import Workplace
from supervisor.kernel import caps, mounts, namespaces, process, seccomp

_ALL = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_SIGNALLED = 128


def run(service: int, exit_file: int, program: int) -> NoReturn:
    """Wait for the service's end and end with it; whatever else lives in the container then dies. No end can
    have been missed: every signal has been blocked since before this process was born.

    The waiting is left to the shim's own `program` (-1: none), unless the service has ended already.
    """
    code, signalled = 1, -1
    try:
        if program >= 0 and signal.SIGCHLD not in signal.sigpending():
            with suppress(OSError):
                shim.become(program, service, exit_file)
        code, signalled = _wait(service)
        os.pwrite(exit_file, b"%d %d\n" % (code, signalled), 0)
    finally:
        os._exit(code if signalled < 0 else _SIGNALLED + signalled)


def tell(init: socket.socket, account: Account) -> None:
    """From the service to the shim, once the root has been entered: whom both are to be."""
    words = b"%d %d " % (account.uid, account.gid) + b" ".join(b"%d" % one for one in account.groups)
    init.send(words)


def let_go(keep: set[int]) -> None:
    """The same, of a PID 1 that is confined as the service is: what that may do and it need not."""
    _close(keep)
    _lay_down()


def _close(keep: set[int]) -> None:
    for descriptor in (1, 2):
        os.dup2(0, descriptor)  # the service alone holds its output
    process.close_all_but(keep)


def _lay_down() -> None:
    caps.take_exactly((), root=True)
    process.set_undumpable()  # taking another uid has reset it
    process.no_new_privileges()  # what is executed from here on gains no capability that was given up


def give_up(work: Workplace, service: socket.socket, filters: tuple[bytes, ...], keep: set[int]) -> bool:
    """All that the shim does not need: privileges, the service's output, other descriptors. Most of it
    while the service builds the root, the rest when it has been entered; False if that has failed.
    The service waits for its word: no program runs beside a PID 1 that is still root.
    """
    if work.userns >= 0:
        namespaces.join(work.userns, "user")
    _close({*keep, service.fileno()})
    caps.limit_bounding(())  # before the account: another uid may not do it any more
    process.no_new_privileges()
    ids = tuple(map(int, service.recv(1 << 20).split()))
    if not ids:
        return False
    mounts.follow()
    uid, gid = ids[:2]
    if os.getuid() != uid or os.getgid() != gid:
        process.become(uid, gid, ids[2:])
    _lay_down()
    for one in filters:
        seccomp.install(one)
    service.send(b"done")
    service.close()
    return True


def _wait(service: int) -> tuple[int, int]:
    while True:
        number = signal.sigwaitinfo(_ALL).si_signo
        if number != signal.SIGCHLD:
            try:
                os.kill(service, number)
            except PermissionError:
                continue  # the service took another account; the helper signals it directly
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return 1, -1
            if pid == 0:
                break
            if pid == service:
                if os.WIFSIGNALED(status):
                    return -1, os.WTERMSIG(status)
                return os.WEXITSTATUS(status), -1
