"""A classic BPF machine for seccomp programs, as the kernel documents it, so that filters are tested by executing them.

Source: Documentation/networking/filter.rst and seccomp(2). It checks what the kernel checks at load: known
instructions, jumps inside the program, a return at the end of it.
"""

import struct
from collections.abc import Sequence

from supervisor.core.syscalls import NUMBERS

X86_64, I386, AARCH64, ARM = 0xC000003E, 0x40000003, 0xC00000B7, 0x40000028
ALLOW, KILL_PROCESS, KILL_THREAD, LOG, TRAP = 0x7FFF0000, 0x80000000, 0, 0x7FFC0000, 0x30000
_ERRNO = 0x50000
_ARCH = {"x86_64": X86_64, "aarch64": AARCH64}
_JUMPS = {0x15: int.__eq__, 0x25: int.__gt__, 0x35: int.__ge__}


def errno_of(action: int) -> int:
    """The errno a call ends with; fails when it ends otherwise."""
    assert action & 0xFFFF0000 == _ERRNO, f"{action:#x}"
    return action & 0xFFFF


def run(program: bytes, number: int, args: Sequence[int] = (), arch: int = X86_64) -> int:
    """What the filter returns for a call."""
    steps = list(struct.iter_unpack("<HBBI", program))
    assert 0 < len(steps) <= 4096
    assert steps[-1][0] == 0x06
    data = struct.pack("<IIQ6Q", number, arch, 0, *(*args, 0, 0, 0, 0, 0, 0)[:6])
    accumulator = at = 0
    while True:
        code, yes, no, value = steps[at]
        at += 1
        if code == 0x06:
            return int(value)
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            at += value
        else:
            at += yes if _JUMPS[code](accumulator, value) else no


def call(program: bytes, name: str, *args: int, machine: str = "x86_64") -> int:
    """The same for a call of the machine's own, by name."""
    return run(program, NUMBERS[machine][name], args, _ARCH[machine])
