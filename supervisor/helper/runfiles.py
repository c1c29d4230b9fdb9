"""What a run writes to, in a folder of its own: stdout and stderr (FIFOs, held open here so that output
outlives every reader), exit (written by the init shim), and for who declares it the socket of sd_notify(3), in a
folder of its own that the container is shown.
"""

import errno
import os
import socket
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.kernel import process
from supervisor.kernel.files import content
from supervisor.kernel.status import Status, recorded

#: All that may lie in the folder; "run" is helper.notes'.
_NAMES = ("stdout", "stderr", "exit", "run", "run.new")
NOTIFY = "notify"  # the socket, and the folder that it is in


class RunFiles:
    """`open` has descriptors by name: "stdout" and "stderr" while there is anything, "exit" during a launch."""

    def __init__(self, folder: str, gid: int) -> None:
        self.folder = folder
        self.gid = gid
        self.open: dict[str, int] = {}

    def make(self) -> None:
        """Make and open, all or nothing; what is there already is kept with what it holds. Raises KernelError."""
        if self.open:
            return
        try:
            self._make()
        except OSError as error:
            self.close()
            raise KernelError("output", error.errno or 0, error.filename or self.folder) from None

    def _make(self) -> None:
        os.makedirs(self.folder, 0o710, exist_ok=True)
        os.chown(self.folder, -1, self.gid)
        for name in ("stdout", "stderr"):
            path = f"{self.folder}/{name}"
            if not os.path.exists(path):
                os.mkfifo(path, 0o600)
            # The container's end: blocking, and read-write, so that with helper and daemon both
            # dead output waits in the pipe instead of ending the service by SIGPIPE.
            self.open[name] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            os.fchown(self.open[name], -1, self.gid)
            os.fchmod(self.open[name], 0o640)

    def begin(self) -> None:
        """An empty exit file for the run that is about to be launched. Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self.open["exit"] = os.open(f"{self.folder}/exit", flags, 0o640)
        os.fchown(self.open["exit"], -1, self.gid)

    @property
    def outputs(self) -> tuple[int, int]:
        return self.open["stdout"], self.open["stderr"]

    def bind_notify(self) -> None:
        """A new socket, of which every word comes with its sender's credentials. Raises KernelError.

        Whoever can reach it may write to it: that is root, and the container. What waited in an older one is gone.
        """
        self.unbind_notify()
        path = f"{self.folder}/{NOTIFY}"
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            os.makedirs(path, 0o755, exist_ok=True)
            os.chmod(path, 0o755)
            folder = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with suppress(FileNotFoundError):
                    os.unlink(NOTIFY, dir_fd=folder)
                made.bind(f"/proc/self/fd/{folder}/{NOTIFY}")  # an address is short
                os.chmod(NOTIFY, 0o666, dir_fd=folder)
            finally:
                os.close(folder)
        except OSError as error:
            made.close()
            raise KernelError("notify", error.errno or 0, error.filename or path) from None
        self.open[NOTIFY] = made.detach()

    def unbind_notify(self) -> None:
        process.close(self.open.pop(NOTIFY, -1))

    def begun(self) -> None:
        """The shim has the exit file: a descriptor less for the time that the run lives."""
        process.close(self.open.pop("exit", -1))

    def recorded(self) -> Status | None:
        """What the shim wrote down; None when it could not. Raises OSError when it cannot be read now."""
        try:
            return recorded(content(f"{self.folder}/exit"))
        except FileNotFoundError:
            return None

    def close(self) -> None:
        process.close(*self.open.values())
        self.open = {}

    def remove(self) -> None:
        """The folder with what is ours in it, gone already or not; a stranger's file is left alone, and its
        folder with it. Raises OSError.
        """
        self.close()
        for name in (f"{NOTIFY}/{NOTIFY}", *_NAMES):
            with suppress(FileNotFoundError):
                os.unlink(f"{self.folder}/{name}")
        for folder in (f"{self.folder}/{NOTIFY}", self.folder):
            try:
                os.rmdir(folder)
            except OSError as error:
                if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):
                    raise
