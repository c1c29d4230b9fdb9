"""The loop that goes through a program of system calls, as machine code: forty instructions instead of Python.

In a forked Python every call that is spelled out in objects costs the copies of the pages that they lie on, which is
more than most of the calls themselves. The code is machine_x86_64.S and machine_aarch64.S in this folder,
assembled (a test does so again and compares). It lies in a sealed memory file, mapped to be read and executed: no
page of it can be written.
"""

import platform
from collections.abc import Callable

from supervisor.errors import KernelError
from supervisor.kernel import libc

#: (address of the program, position of the first call, count of calls, address of the slots) → position of
#: the call that was not as expected, or the count.
Go = Callable[[int, int, int, int], int]

CODE = {
    "x86_64": bytes.fromhex(
        "53554154415541564889fb4889f54989d44989cd4c39e50f83a30000004c6bf5604901de498b7e08498b7610498b5618"
        "4d8b56204d8b46284d8b4e30498b4638a8017405498b7cfd00a8027405498b74f500a8047405498b54d500a80874054f"
        "8b54d500a81074054f8b44c500a82074054f8b4ccd00498b064885c078420f054885c0781f498b4e484885c978054839"
        "c87529498b4e40498944cd0048ffc5e970ffffff4889c148f7d9493b4e50750c49036e5848ffc5e958ffffff49894500"
        "4889e8415e415d415c5d5bc3"
    ),
    "aarch64": bytes.fromhex(
        "f353bda9f55b01a9f76302a9f30300aaf40301aaf50302aaf60303aa9f0215eba2040054090c80d2974e099be80240a9"
        "e10a41a9e31242a9e56243a958000036c07a60f858000836c17a61f858001036c27a62f858001836c37a63f858002036"
        "c47a64f858002836c57a65f84802f8b7010000d40001f8b7e92a44a96a00f8b71f000aeb61010054c07a29f894060091"
        "e3ffff17e92a45a9eb0300cb7f0109eb8100005494020a8b94060091dcffff17c00200f9e00314aaf55b41a9f76342a9"
        "f353c3a8c0035fd6"
    ),
}


def load() -> Go | None:
    """None where there is no code for this machine, or the kernel lets none be loaded."""
    code = CODE.get(platform.machine())
    try:
        return libc.load(code) if code else None
    except (KernelError, OSError):
        return None
