"""The init shim as a program of its own: three hundred bytes instead of a Python.

A fork of the helper that only waits keeps a megabyte of pages for itself; with a thousand containers that is a
gigabyte. So PID 1 of a container that goes on executes this: shim_x86_64.S and shim_aarch64.S in this folder,
assembled (a test does so again and compares). It does what helper.init does, and no more.

It lies in a sealed memory file of root's that nobody may read. So it can neither be written (CVE-2019-5736) nor
traced: the kernel makes whoever executes an unreadable file undumpable from its first instruction on.
"""

import fcntl
import os
import platform
import struct

from supervisor.kernel import memory

PROGRAMS = {
    "x86_64": bytes.fromhex(
        "bf0400000031f6b89d0000000f05bf0f000000488d35fe000000b89d0000000f05488b74241031db0fb60648ffc683e8"
        "3072076bdb0a01c3ebee4883ec1048c70424ffffffff4889e731f631d241ba08000000b8800000000f0585c078e883f8"
        "11740d89df89c6b83e0000000f05ebd6bfffffffff488d742408ba010000004531d2b83d0000000f0539d8740685c07f"
        "dfebb38b6c240889e8c1e80825ff0000004189c4488b0d5d0000004889e783e57f741589e8448da080000000488b0d4d"
        "000000488d7c240348890c24b90a00000031d2f7f100570231d2f7f10057010007bf030000004889e6ba080000004531"
        "d2b8120000000f054489e7b8e70000000f05660f1f440000303030202d31200a2d3120303030200a696e6974000f1f00"
    ),
    "aarch64": bytes.fromhex(
        "800080d2010080d2e81480d2010000d4e00180d261090010e81480d2010000d4e10b40f9130080524301805222144038"
        "42c0007163000054730a031bfcffff17ff4300d100008092e00300f9e0030091010080d2020080d2030180d2281180d2"
        "010000d41f0000712bffff541f440071c0000054e103002ae003132a281080d2010000d4f2ffff1700008092e1230091"
        "220080d2030080d2882080d2010000d41f00136b800000541f000071ecfeff54e7ffff17e40b40b9803c0853f403002a"
        "85030058e603009184180072a0000054e003042a9400021105030058e60f0091e50300f949018052470080d20a08c91a"
        "4b81091bcc6867388c010b0bcc682738e0030a2ae70400f12affff54600080d2e1030091020180d2030080d2880880d2"
        "010000d4e003142ac80b80d2010000d4303030202d31200a2d3120303030200a696e697400000000"
    ),
}
_MACHINES = {"x86_64": 62, "aarch64": 183}  # EM_X86_64, EM_AARCH64 of elf(5)
_HEADERS = 64 + 56
_BASE = 0x400000  # where it is mapped
EXIT_FILE = 3  # the descriptor by which it knows it
_FIRST_FREE = 10


def elf(machine: str, code: bytes) -> bytes:
    """A whole program: an ELF header, one program header, the code (elf(5))."""
    size = _HEADERS + len(code)
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")  # 64 bits, little-endian
    entry = _BASE + _HEADERS
    head = struct.pack("<16s2HI3QI6H", ident, 2, _MACHINES[machine], 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<2I6Q", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)  # PT_LOAD, to read and execute
    return head + segment + code


def make() -> int:
    """A descriptor of it, above those that a program is given; -1 where there is none for this machine."""
    machine = platform.machine()
    if machine not in PROGRAMS:
        return -1
    file = memory.sealed("init", elf(machine, PROGRAMS[machine]), 0o111)
    made = fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    os.close(file)
    return made


def become(shim: int, service: int, exit_file: int) -> None:
    """Execute it; returns only where that cannot be done (the caller goes on as it is)."""
    os.dup2(exit_file, EXIT_FILE)
    os.set_inheritable(EXIT_FILE, True)  # it may have been that one
    os.execve(shim, ["supervisor: init", str(service)], {})
