"""Work of the processor's that nobody waits for, in a process of its own: the least of all to be served.

Laws:
* It competes with nobody: nice 19, and it has an interpreter of its own, so that nobody waits for
  its lock. Its memory is not the daemon's.
* It dies with the daemon, and when it is no longer awaited; what it does must bear that at any system call.
* A fork and no more: the program may lie where the daemon's account cannot read it again. So the work
  must neither import nor touch anything of trio's, and has of all descriptors only those that it is given.
"""

import errno
import os
import signal
import warnings
from collections.abc import Callable
from functools import partial

import trio

_NICEST = 19
#: An exit status that is no errno: the work failed in another way.
_BROKEN = 255


async def aside(work: Callable[[], None], needs: int, die_with: Callable[[int], None]) -> int:
    """0, or the errno with which `work` failed. `needs` is the one descriptor that it uses, under its number.

    `die_with` has the process killed when its parent, of that PID, ends. OSError: it cannot be started now.
    """
    parent = os.getpid()
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads. The interpreter's locks and malloc's are made anew in the child,
        # and what it does takes no others.
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        _do(work, needs, partial(die_with, parent))
    pidfd = -1
    try:
        pidfd = os.pidfd_open(pid)
        await trio.lowlevel.wait_readable(pidfd)
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        if pidfd >= 0:
            os.close(pidfd)
        status = _reap(pid)
    return status if status >= 0 else errno.EINTR


def _reap(pid: int) -> int:
    """It has ended, or been killed: nothing is waited for that takes time."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _do(work: Callable[[], None], needs: int, die: Callable[[], None]) -> None:
    """Does not return."""
    status = _BROKEN
    try:
        signal.set_wakeup_fd(-1)  # trio's, which is shared with the parent
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        die()
        os.nice(_NICEST)
        os.closerange(0, needs)
        os.closerange(needs + 1, os.sysconf("SC_OPEN_MAX"))
        work()
        status = 0
    except OSError as error:
        status = error.errno or _BROKEN
    except BaseException:  # noqa: BLE001, S110  # the process ends here; the status says it
        pass
    finally:
        os._exit(status)
