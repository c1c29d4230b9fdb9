"""Memory files: memfd_create(2), fcntl(2) F_ADD_SEALS."""

import fcntl
import os

_FOR_GOOD = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def file(name: str, content: bytes) -> int:
    """The descriptor of one that begins with `content`. Raises OSError."""
    made = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(made, content)
    except BaseException:
        os.close(made)
        raise
    return made


def sealed(name: str, content: bytes, mode: int) -> int:
    """The descriptor of a file that nobody, its maker included, can change any more. Raises OSError."""
    made = file(name, content)
    try:
        os.fchmod(made, mode)
        fcntl.fcntl(made, fcntl.F_ADD_SEALS, _FOR_GOOD)
    except BaseException:
        os.close(made)
        raise
    return made
