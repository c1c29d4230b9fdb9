"""The folders that the unprivileged half may not make, made by root before anything needs them."""

import os

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
    intent = os.open(f"{run}/capture.intent", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    os.fchown(intent, uid, -1)
    os.close(intent)


def _make_logs(configuration: Configuration, uid: int) -> None:
    logs = configuration.settings.logs.dir
    os.makedirs(logs, exist_ok=True)
    for name in ("supervisor", *(one.name for one in configuration.containers)):
        _folder(f"{logs}/{name}", 0o750, uid=uid)
        for entry in os.scandir(f"{logs}/{name}"):
            # A log folder of another account's supervisor: its open segment is appended to.
            if entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid != uid:
                os.chown(entry.path, uid, -1, follow_symlinks=False)


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
