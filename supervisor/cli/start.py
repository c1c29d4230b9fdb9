"""`supervisor start CONFIG`: read the files as root, make the folders, become the helper.

This process is root's own declaration: it parses, checks and lowers the files, puts the result
into memory files, and then *is* the helper (exec), so that nobody else ever declares.
"""

import fcntl
import json
import os
import pwd
import sys
from dataclasses import replace
from typing import NamedTuple, NoReturn

import msgspec

import supervisor
from supervisor.config.load import load
from supervisor.core.spec import Configuration, Settings
from supervisor.launcher.declaration import declare, layers
from supervisor.launcher.ids import EACH
from supervisor.launcher.seccomp import compile_filters

_KEPT = ("PATH", "LANG", "LC_ALL", "TERM", "NO_COLOR", "COLUMNS", "NOTIFY_SOCKET", "WATCHDOG_USEC")
_TRAVERSED, _GROUP, _OWN = 0o711, 0o710, 0o700


def start(path: str, detach: bool, runtime_dir: str | None) -> int:
    """Returns only when refused or, detached, once everything is started (0; 1 if something could
    not be); otherwise this process has become the helper. Raises ConfigError for the files' problems.
    """
    configuration = load(path, root=os.geteuid() == 0)
    settings = configuration.settings
    chosen = runtime_dir or os.environ.get("SUPERVISOR_RUNTIME_DIR")
    if chosen:
        settings = replace(settings, runtime_dir=os.path.abspath(chosen))
    configuration = replace(configuration, settings=settings)
    account = _account(settings.user)
    objection = _objection(configuration)
    if account is None or objection:
        return _refuse(
            objection or f'there is no account "{settings.user}" to run as; see user in [supervisor]', 2
        )
    try:
        os.makedirs(settings.runtime_dir, _TRAVERSED, exist_ok=True)
        lock = _lock(settings.runtime_dir)
        if lock is None:
            return _refuse(f"one is already running in {settings.runtime_dir}; see `supervisor status`", 1)
        _make_folders(settings, account, [one.name for one in configuration.containers])
        _make_layers(configuration)
    except PermissionError as error:
        return _refuse(
            f"not permitted to make {error.filename}; run as root, or set runtime_dir and logs.dir", 4
        )
    except OSError as error:
        return _refuse(f"{error.filename}: {error.strerror}", 1)
    for note in configuration.notes:
        print(f"note: {note}", file=sys.stderr)
    if detach:
        return _detached(configuration, account, lock)
    return _become_helper(configuration, account, lock, -1)


def _objection(configuration: Configuration) -> str:
    """What only the one who starts it lacks; "" when nothing."""
    private = [one.name for one in configuration.containers if one.userns == "private"]
    if private and os.geteuid() != 0:
        return (
            f"{', '.join(private)}: a private user namespace needs a range of ids, which only root has;\n"
            'start it as root, or write userns = "host" (the container then has one id: yours)'
        )
    room = configuration.settings.id_pool[1] // EACH
    if len(private) > room:
        return f"id_pool has room for {room} private user namespaces, not for {len(private)}"
    return ""


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


def _lock(runtime_dir: str) -> int | None:
    """Held by the helper for life, and freed by the kernel whatever ends it; None: another has it."""
    lock = os.open(f"{runtime_dir}/lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def _make_folders(settings: Settings, account: _Account, names: list[str]) -> None:
    """Folders that the unprivileged half may not make: it gets its own below ones that stay root's."""
    run, logs = settings.runtime_dir, settings.logs.dir
    _folder(run, _TRAVERSED)
    _folder(f"{run}/containers", _GROUP, gid=account.gid)
    _folder(f"{run}/root", _OWN)
    _folder(f"{run}/daemon", _OWN, uid=account.uid)
    intent = os.open(f"{run}/capture.intent", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchown(intent, account.uid, -1)
    os.close(intent)
    os.makedirs(logs, exist_ok=True)
    for name in ("supervisor", *names):
        _folder(f"{logs}/{name}", 0o750, uid=account.uid)
        for entry in os.scandir(f"{logs}/{name}"):
            # A log folder of another account's supervisor: its open segment is appended to.
            if (
                entry.is_file(follow_symlinks=False)
                and entry.stat(follow_symlinks=False).st_uid != account.uid
            ):
                os.chown(entry.path, account.uid, -1, follow_symlinks=False)


def _make_layers(configuration: Configuration) -> None:
    """A folder for each persistent layer, where nobody but root comes: setuid programs may lie in it."""
    folder = layers(configuration.settings.state_dir)
    for one in configuration.containers:
        if one.rootfs_mode == "persistent":
            _folder(folder, _OWN)
            _folder(f"{folder}/{one.name}", _OWN)


def _folder(path: str, mode: int, *, uid: int = -1, gid: int = -1) -> None:
    os.makedirs(path, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, uid, gid)
    finally:
        os.close(descriptor)


def _become_helper(configuration: Configuration, account: _Account, lock: int, ready: int) -> NoReturn:
    declared = declare(
        configuration,
        compile_filters(configuration),
        uid=account.uid,
        gid=account.gid if os.geteuid() == 0 else 0,
        python=sys.executable,
        # The profiles are compiled; the daemon has no use for them.
        spec=_memory("spec", msgspec.json.encode(replace(configuration, seccomp=()))),
        ready=ready,
        lock=lock,
    )
    os.set_inheritable(lock, True)
    program = os.path.join(os.path.dirname(os.path.abspath(supervisor.__file__)), "helper", "__main__.py")
    arguments = [sys.executable, "-I", "-S", program, str(_memory("declared", declared))]
    sys.stdout.flush()
    os.execve(sys.executable, arguments, {name: os.environ[name] for name in _KEPT if name in os.environ})


def _memory(name: str, content: bytes) -> int:
    """An inheritable memory file, sealed: nobody who is given it can change what root declared."""
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.write(descriptor, content)
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


def _detached(configuration: Configuration, account: _Account, lock: int) -> int:
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
        _become_helper(configuration, account, lock, write)
    os.close(write)
    with os.fdopen(read, "rb") as ready:
        word = ready.read()
    if not word:
        return _refuse("it ended before its containers were started", 1)
    failed = json.loads(word)
    for name in failed:
        print(f"supervisor: {name} could not be started; see `supervisor inspect {name}`", file=sys.stderr)
    return 1 if failed else 0
