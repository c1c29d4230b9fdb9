"""Files as the operator named them: which to read, and their text or why not."""

import os
import stat

from supervisor.config.values import WrongError

#: Larger than any configuration; a mistaken path must not fill the memory of root's process.
LARGEST = 1 << 20


class UnreadableError(WrongError):
    """A file or folder that cannot be read; `line` is 0 unless the fault is at one."""

    def __init__(self, text: str, line: int = 0) -> None:
        super().__init__(text)
        self.line = line


def list_files(path: str, cwd: str) -> list[str]:
    """The TOML files `path` stands for, named as the user named it; hidden ones (editors' locks) left out.

    Raises UnreadableError for a missing or empty folder.
    """
    real = os.path.join(cwd, path)
    try:
        if not stat.S_ISDIR(os.stat(real).st_mode):
            return [path]
        names = sorted(
            name for name in os.listdir(real) if name.endswith(".toml") and not name.startswith(".")
        )
    except (OSError, ValueError) as error:
        raise UnreadableError(f"cannot be read: {_reason(error)}") from error
    if not names:
        raise UnreadableError("holds no *.toml file (write one, or name the right folder)")
    return [os.path.join(path, name) for name in names]


def read_text(path: str) -> str:
    """The text of a regular file of at most 1 MiB of UTF-8; raises UnreadableError."""
    try:
        # O_NONBLOCK: a FIFO that happens to end in .toml must not hold us.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableError("is not a regular file")
            content = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, UnreadableError):
            raise
        raise UnreadableError(f"cannot be read: {_reason(error)}") from error
    if len(content) > LARGEST:
        raise UnreadableError(f"is larger than {LARGEST >> 20} MiB")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UnreadableError(f"is not UTF-8 (byte 0x{content[error.start]:02x})", line) from error


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "not a possible path"
