"""Memory files: memfd_create(2), fcntl(2) F_ADD_SEALS."""

import fcntl
import os

_FOR_GOOD = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL


def sealed(name: str, content: bytes, mode: int) -> int:
    """The descriptor of a file that nobody, its maker included, can change any more. Raises OSError."""
    file = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(file, content)
        os.fchmod(file, mode)
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, _FOR_GOOD)
    except BaseException:
        os.close(file)
        raise
    return file
