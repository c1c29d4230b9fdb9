"""The folders that the unprivileged half may not make, made by root before anything needs them."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from supervisor.core.spec import Configuration
from supervisor.launcher.declaration import layers

_TRAVERSED, _GROUP, _OWN = 0o711, 0o710, 0o700


def make(configuration: Configuration, uid: int, gid: int) -> None:
    """For the daemon's account; doing it again is fine, and adds what new containers need. Raises OSError."""
    _make_run(configuration, uid, gid)
    _make_logs(configuration, uid)
    _make_layers(configuration)


def _make_run(configuration: Configuration, uid: int, gid: int) -> None:
    """The unprivileged half gets its own below ones that stay root's."""
    run = configuration.settings.runtime_dir
    _folder(run, _TRAVERSED)
    _folder(f"{run}/containers", _GROUP, gid=gid)
    _folder(f"{run}/root", _OWN)
    _folder(f"{run}/daemon", _OWN, uid=uid)
    path = f"{run}/capture.intent"
    intent = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with _closed(intent, path):
        os.fchown(intent, uid, -1)


def _make_logs(configuration: Configuration, uid: int) -> None:
    logs = configuration.settings.logs.dir
    os.makedirs(logs, exist_ok=True)
    for name in ("supervisor", *(one.name for one in configuration.containers)):
        _folder(f"{logs}/{name}", 0o750, uid=uid)
        for entry in os.scandir(f"{logs}/{name}"):
            if entry.is_file(follow_symlinks=False):
                _take_over(entry.path, uid)


def _take_over(path: str, uid: int) -> None:
    """A log folder of another account's supervisor: its open segment is appended to.

    The folder belongs to the unprivileged half, which may put there what it likes, also now: so only what is
    a file of this folder and of no other, looked at and given away by one descriptor.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return  # exchanged meanwhile, or gone
    with _closed(descriptor, path):
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_uid != uid:
            os.fchown(descriptor, uid, -1)


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
    with _closed(descriptor, path):
        os.fchmod(descriptor, mode)
        os.fchown(descriptor, uid, gid)


@contextmanager
def _closed(descriptor: int, path: str) -> Iterator[None]:
    """Afterwards. What the kernel refuses to do to a descriptor it says without a name: it was `path`."""
    try:
        yield
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)
