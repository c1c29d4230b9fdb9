"""A container's files in RUNTIME_DIR/containers/NAME/.

stdout and stderr (FIFOs, held open here so that output outlives every reader), exit (written by the init
shim), run (which run and which processes, for a helper that comes after us; see notes).
"""

import errno
import os


class Files:
    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.fds: dict[str, int] = {}

    def open(self, gid: int) -> None:
        """Make and open what the run writes to; what is there already is kept with what it holds."""
        if self.fds:
            return
        os.makedirs(self.folder, 0o710, exist_ok=True)
        os.chown(self.folder, -1, gid)
        for name in ("stdout", "stderr"):
            path = f"{self.folder}/{name}"
            if not os.path.exists(path):
                os.mkfifo(path, 0o600)
            self.fds[name] = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            os.fchown(self.fds[name], -1, gid)
            os.fchmod(self.fds[name], 0o640)
            # The container's own end: blocking, and read-write, so that with helper and daemon both
            # dead output waits in the pipe instead of ending the service by SIGPIPE.
            self.fds[f"{name}-in"] = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.fds["exit"] = os.open(f"{self.folder}/exit", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        os.fchown(self.fds["exit"], -1, gid)

    def recorded(self) -> tuple[int, int] | None:
        """The exit code and signal, one of them -1, that the shim wrote down; None: nothing."""
        words = os.pread(self.fds["exit"], 64, 0).split() if "exit" in self.fds else []
        return (int(words[0]), int(words[1])) if len(words) == 2 else None

    def remove(self) -> tuple[int, str]:
        """Take them away; doing it again is fine. (0, "") or the errno and path of what could not be removed."""
        for descriptor in self.fds.values():
            os.close(descriptor)
        self.fds = {}
        for name in ("stdout", "stderr", "exit", "run"):
            try:
                os.unlink(f"{self.folder}/{name}")
            except FileNotFoundError:
                continue
        try:
            os.rmdir(self.folder)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY):  # a stranger's file is left alone
                return error.errno or 0, self.folder
        return 0, ""
