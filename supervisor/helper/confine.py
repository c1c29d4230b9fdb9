"""The operations that take away what a service may not keep, up to its execve.

From "enter" on the files are the container's: nothing is imported, looked up through NSS or
formatted through locale code any more. Every identity and set that is taken is read back.
"""

import errno
import os
from collections.abc import Callable

from supervisor.errors import KernelError
from supervisor.helper.accounts import look_up
from supervisor.helper.protocol import IDS
from supervisor.helper.workplace import Workplace
from supervisor.kernel import caps, process

_ROOT = 0


def lookup(work: Workplace, user: str, groups: tuple[str, ...]) -> None:
    here = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    account = work.account = look_up(here, user, groups)
    os.close(here)
    if work.rootless and (account.uid, account.gid) != (_ROOT, _ROOT):
        # One id is mapped in a user's own namespace, so there is nobody else to become.
        raise KernelError("setresuid", errno.EPERM, f"{user}: without root a container has only uid 0 (you)")
    if work.ids >= 0 and max(account.uid, *account.groups) >= IDS:
        raise KernelError(
            "setresuid", errno.EINVAL, f"{user}: a private user namespace has the ids 0 to 65535"
        )


def output(work: Workplace) -> None:
    """The service owns its FIFOs, so that it can open /dev/stdout again."""
    for descriptor in (1, 2):
        os.fchown(descriptor, work.owner(work.account.uid), -1)


def become(work: Workplace) -> None:
    if work.account.uid != _ROOT:
        process.keep_capabilities()
    process.become(work.account.uid, work.account.gid, work.account.groups, may_set_groups=not work.rootless)
    process.set_undumpable()  # taking another uid may have reset it; until exec nobody looks in


def capabilities(work: Workplace, names: tuple[str, ...], ambient: bool) -> None:
    """A default is what root would have: to another user it is only a bound (`ambient` False)."""
    root = work.account.uid == _ROOT
    caps.take_exactly(names if root or ambient else (), root=root)


def workdir(_work: Workplace, path: str) -> None:
    """With the service's own rights; a folder outside the root shows as "(unreachable)" (CVE-2024-21626)."""
    os.chdir(path)
    if not os.getcwd().startswith("/"):
        raise KernelError("chdir", errno.EACCES, path)


def await_init(work: Workplace) -> None:
    """Until PID 1 has given up all that it has to; if it could not, it has said why, and that is all."""
    if work.init and not os.read(work.init.fileno(), 16):
        os._exit(1)


def execute(work: Workplace, argv: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> None:
    """execve(2) argv[0], searched in PATH if it has no slash; returns only by raising KernelError. No
    signal has been let through since the fork: a handler of ours would have swallowed it.
    """
    process.unblock_signals(0)
    _search(work, os.execve, argv, env)


def spawn(work: Workplace, argv: tuple[str, ...], env: tuple[tuple[str, str], ...]) -> None:
    """As `execute`, in a new process of a session of its own (posix_spawn(3)): it shares this one's memory
    until its execve, so that nothing is copied, and begins with no signal blocked or handled.
    """
    work.service = _search(work, _spawn, argv, env)


def _spawn(path: str, argv: tuple[str, ...], env: dict[str, str]) -> int:
    return os.posix_spawn(path, argv, env, setsid=True, setsigmask=())


def _search(
    work: Workplace,
    start: Callable[..., int],
    argv: tuple[str, ...],
    env: tuple[tuple[str, str], ...],
) -> int:
    variables = dict(env)
    variables.setdefault("HOME", work.account.home)
    name, error = argv[0], errno.ENOENT
    folders = [""] if "/" in name else variables["PATH"].split(":")
    for folder in folders:
        path = f"{folder}/{name}" if folder else name
        try:
            return start(path, argv, variables)
        except OSError as failure:
            if failure.errno not in (errno.ENOENT, errno.ENOTDIR):
                error = failure.errno or 0
            elif os.path.exists(path):
                raise KernelError("execve-interpreter", errno.ENOENT, path) from None
    raise KernelError("execve", error, name)
