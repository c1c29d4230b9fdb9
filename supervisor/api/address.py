"""Where an instance listens, and what it means when it does not answer.

Laws: standard library only and little of it, because every command pays for this import.
A path too long for a Unix address (108 bytes) is reached through its folder's descriptor.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from supervisor.core import rundir
from supervisor.errors import RequestError

SOCKET = "api.sock"
#: sun_path holds 108 bytes, the closing NUL included.
LONGEST = 107


class NobodyError(RequestError):
    """No supervisor listens in `folder`."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            "unavailable", f"no supervisor is running in {folder}: start one with `supervisor start CONFIG`"
        )
        self.folder = folder


def default_runtime_dir() -> str:
    """SUPERVISOR_RUNTIME_DIR, or where `supervisor start` of the same user puts it without a word about it."""
    if chosen := os.environ.get("SUPERVISOR_RUNTIME_DIR"):
        return chosen
    return rundir.default_runtime_dir(
        os.environ.get("XDG_RUNTIME_DIR", ""), os.getuid(), root=os.geteuid() == 0
    )


def socket_path(where: str | None = None) -> str:
    """The socket of a runtime dir; a path that ends in .sock is one already."""
    where = where or default_runtime_dir()
    return where if where.endswith(".sock") else os.path.join(where, SOCKET)


@contextmanager
def reachable(path: str) -> Iterator[str]:
    """A name for `path` that fits a Unix address, valid while the context lasts."""
    if len(os.fsencode(path)) <= LONGEST:
        yield path
        return
    folder, name = os.path.split(path)
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{name}"
    finally:
        os.close(fd)


def refusal(error: OSError, path: str) -> RequestError:
    """What a failed connect means, in words that name what to do."""
    folder = os.path.dirname(path) or "."
    if isinstance(error, FileNotFoundError | ConnectionRefusedError | NotADirectoryError):
        return NobodyError(folder)
    if isinstance(error, PermissionError):
        return RequestError(
            "forbidden",
            f"not permitted to use {path}: run as root, or join the group that owns it (see group in [supervisor])",
        )
    return RequestError("unavailable", f"cannot reach the supervisor at {path}: {error.strerror or error}")


def broken() -> RequestError:
    """The connection ended before the answer did."""
    return RequestError(
        "unavailable",
        "the supervisor closed the connection before its answer was complete: it may have stopped",
    )
