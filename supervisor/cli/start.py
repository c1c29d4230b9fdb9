"""`supervisor start CONFIG`: read the files as root, make the folders, become the helper.

This process is root's own declaration: it parses, checks and lowers the files, puts the result
into memory files, and then *is* the helper (exec), so that nobody else ever declares.
"""

import fcntl
import json
import os
import pwd
import sys
import time
from collections.abc import Callable
from typing import NamedTuple, NoReturn

import supervisor
from supervisor.cli import declare, folders, runstate
from supervisor.cli.leftover import has_helper
from supervisor.core.spec import Configuration, Settings
from supervisor.launcher.declaration import Instance, Origin, encode
from supervisor.launcher.declaration import declare as declaration
from supervisor.launcher.seccomp import compile_filters

_KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "NO_COLOR", "COLUMNS", "NOTIFY_SOCKET", "WATCHDOG_USEC")
_TRAVERSED = 0o711
_LINGER, _MOMENT, _GLANCE = 10.0, 1.0, 0.02  # seconds


def start(path: str, detach: bool, runtime_dir: str | None) -> int:
    """Returns only when refused or, detached, once everything is started (0; 1 if something could
    not be); otherwise this process has become the helper. Raises ConfigError for the files' problems.
    """
    root = os.geteuid() == 0
    origin = declare.here(path, runtime_dir or os.environ.get("SUPERVISOR_RUNTIME_DIR"), root=root)
    configuration = declare.read(origin, root=root)
    settings = configuration.settings
    account = _account(settings.user)
    objection = declare.objection(configuration, root=root)
    if account is None or objection:
        return _refuse(
            objection or f'there is no account "{settings.user}" to run as; see user in [supervisor]', 2
        )
    try:
        os.makedirs(settings.runtime_dir, _TRAVERSED, exist_ok=True)
        locks = _lock(settings)
        if isinstance(locks, str):
            return _refuse(locks, 1)
        if runstate.take(settings.runtime_dir, origin):
            print(
                f"note: {settings.runtime_dir} was left before the last boot, and is begun anew",
                file=sys.stderr,
            )
        folders.make(configuration, account.uid, account.gid)
    except PermissionError as error:
        what = error.filename or settings.runtime_dir
        return _refuse(f"not permitted to make {what}; run as root, or set runtime_dir and logs.dir", 4)
    except OSError as error:  # without a name: of what was open already, and that is in there
        return _refuse(f"{error.filename or settings.runtime_dir}: {error.strerror}", 1)
    for note in configuration.notes:
        print(f"note: {note}", file=sys.stderr)
    if detach:
        return _detached(configuration, account, origin, locks)
    return _become_helper(configuration, account, origin, locks, -1)


def _refuse(text: str, code: int) -> int:
    print(f"supervisor: {text}", file=sys.stderr)
    return code


class _Account(NamedTuple):
    uid: int
    gid: int


def _account(name: str) -> _Account | None:
    """Whom the unprivileged half runs as: without root, whoever asks; None when there is no such account."""
    if os.geteuid() != 0:
        return _Account(os.getuid(), os.getgid())
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return _Account(entry.pw_uid, entry.pw_gid)


def _lock(settings: Settings) -> tuple[int, ...] | str:
    """Held by the helper for life, and freed by the kernel whatever ends it; or which of them another has.

    A child that a helper was forking as it was killed has them for a moment longer: that is waited for. Two who keep
    their logs in one folder would close and drop each other's segments.
    """
    runtime_dir, logs = settings.runtime_dir, settings.logs.dir
    own = _hold(f"{runtime_dir}/lock", _LINGER, lambda: has_helper(runtime_dir))
    if own is None:
        return f"one is already running in {runtime_dir}; see `supervisor status`"
    os.makedirs(logs, exist_ok=True)
    folder = _hold(f"{logs}/.lock", _MOMENT, lambda: False)
    if folder is None:
        return f"another supervisor keeps its logs in {logs}; set logs.dir in [supervisor]"
    return own, folder


def _hold(path: str, patience: float, in_vain: Callable[[], bool]) -> int | None:
    """flock(2). None: another has it and, as `in_vain` says or after `patience` seconds, keeps it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    until = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if in_vain() or time.monotonic() > until:
                os.close(lock)
                return None
            time.sleep(_GLANCE)
        else:
            return lock


def _become_helper(
    configuration: Configuration, account: _Account, origin: Origin, locks: tuple[int, ...], ready: int
) -> NoReturn:
    instance = Instance(
        uid=account.uid,
        gid=account.gid if os.geteuid() == 0 else 0,
        python=sys.executable,
        origin=origin,
        spec=declare.specification(configuration),
        ready=ready,
        locks=locks,
    )
    declared = encode(declaration(configuration, compile_filters(configuration), instance))
    for lock in locks:
        os.set_inheritable(lock, True)
    program = os.path.join(os.path.dirname(os.path.abspath(supervisor.__file__)), "helper", "__main__.py")
    arguments = [sys.executable, "-I", "-S", program, str(declare.memory("declared", declared))]
    sys.stdout.flush()
    os.execve(sys.executable, arguments, {name: os.environ[name] for name in _KEPT if name in os.environ})


def _detached(configuration: Configuration, account: _Account, origin: Origin, locks: tuple[int, ...]) -> int:
    """Start in a session of its own; wait for the word that everything has been started."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.setsid()
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.set_inheritable(write, True)
        _become_helper(configuration, account, origin, locks, write)
    os.close(write)
    with os.fdopen(read, "rb") as ready:
        word = ready.read()
    if not word:
        return _refuse("it ended before its containers were started", 1)
    failed = json.loads(word)
    for name in failed:
        print(f"supervisor: {name} could not be started; see `supervisor inspect {name}`", file=sys.stderr)
    return 1 if failed else 0
