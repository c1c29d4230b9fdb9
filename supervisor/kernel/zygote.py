"""What bears containers: a program of one kilobyte that clones itself when it is asked to.

A fork of the helper's Python copies its page tables, and then every page that it touches; a container that waits in
one keeps a megabyte of them. So the helper asks a process that has next to nothing, which clones itself with the
namespaces and into the cgroup that it is told. The child carries out the program that came along (kernel.image) and
goes on as the container's init shim, PID 1: it reaps, forwards signals, and records how the service ended. All of it is
zygote_x86_64.S and zygote_aarch64.S in this folder, assembled (a test does so again and compares).

It lies in a sealed memory file of root's that nobody may read. So it can neither be written (CVE-2019-5736) nor
traced: the kernel makes whoever executes an unreadable file undumpable from its first instruction on. None of the
helper's memory is in it, for a container to find.
"""

import errno
import os
import platform
import signal
import socket
import struct

from supervisor.errors import KernelError
from supervisor.kernel import libc, memory, process

CODE = {
    "x86_64": bytes.fromhex(
        "bf0400000031f6b89d0000000f05bf0f000000488d358e030000b89d0000000f054881ec00010000488d442450488904"
        "2448c74424085800000031c048894424104889442418488964242048c744242801000000488d8424b000000048894424"
        "30bf03000000beffffffff31d2b8b40100000f0548c74424385000000048c74424400000000031ff488d74241031d2b8"
        "2f0000000f054883f8587530488d7c2450be58000000b8b30100000f054885c07421488944245031ff488d742450ba08"
        "000000b8010000000f05eb9531ffe9cd0100004531ffbf00000010be00000001ba0100000041ba1200000041b8040000"
        "004d89f9b8090000000f054885c00f885e010000bf00000020be00004000ba0300000041ba3200000049c7c0ffffffff"
        "4531c9b8090000000f054885c00f882f010000bb000000104c8b234883c31041bd0000002031ed4c39e50f8357010000"
        "4c6bf5704901de41bf00010000498b7e08498b7610498b56184d8b56204d8b46284d8b4e30498b4638a8017405498b7c"
        "fd00a8027405498b74f500a8047405498b54d500a80874054f8b54d500a81074054f8b44c500a82074054f8b4ccd0049"
        "8b064885c078790f054885c07834498b4e4841f64638407405498b4ccd004885c9780e4839c8740948c7c0ffffffffeb"
        "11498b4e40498944cd0048ffc5e955ffffff4883f8f5750941ffcf0f855cffffff4889c148f7d9498b5658498b765048"
        "85f674174839f17412498b5668498b76604885f674054839f175484801d5ebb14883f8fd74177c2231c04889d1f3a60f"
        "8474ffffff48ffc8e96cffffff4889f84885ff748c4801f5eb874989ffe974feffff4889442450488d742450ba080000"
        "00eb104989450049896d084c89eeba00080000bf0500000041ba004000004531c04531c9b82c0000000f05bf7d000000"
        "b8e70000000f05418b5d10bf00000010be00000001b80b0000000f05bf00000020be00004000b80b0000000f0548c704"
        "24ffffffff4889e731f631d241ba08000000b8800000000f0585c078e883f811740d89df89c6b83e0000000f05ebd6bf"
        "ffffffff488d742408ba010000004531d2b83d0000000f0539d8740b85c07fdf74b3e974ffffff8b6c240889e8c1e808"
        "25ff0000004189c4488b0d590000004889e783e57f7418448da5800000000fb6442408488b0d46000000488d7c240348"
        "890c24b90a00000031d2f7f100570231d2f7f10057010007bf030000004889e6ba080000004531d2b8120000000f0544"
        "89e7e909ffffff90303030202d31200a2d3120303030200a696e6974000f1f00"
    ),
    "aarch64": bytes.fromhex(
        "800080d2010080d2e81480d2010000d4e00180d2a11b0010e81480d2010000d4ff0304d1ea030091e94301910b0b80d2"
        "e92f00a9ff7f01a92b0080d2ea2f02a9e9c30291e91b00f9600080d201008012020080d2883680d2010000d4090a80d2"
        "e9ff03a9000080d2e1430091020080d2881a80d2010000d41f6001f1a1010054e0430191010b80d2683680d2010000d4"
        "400100b4e02b00f9000080d2e1430191020180d2080880d2010000d4e7ffff17000080d26b000014180080d20000a2d2"
        "0120a0d2220080d2430280d2840080d2e50318aac81b80d2010000d4600af8b70000a4d20108a0d2620080d2430680d2"
        "04008092050080d2c81b80d2010000d44009f8b71300a2d2750641f81600a4d2140080d29f0215eb820a0054090e80d2"
        "974e099b182080d2e80240a9e10a41a9e31242a9e56643a959000036c07a60f859000836c17a61f859001036c27a62f8"
        "59001836c37a63f859002036c47a64f859002836c57a65f8c803f8b7010000d4a001f8b7ea2640f959003036ca7a6af8"
        "aa00f8b71f000aeb600000540000809205000014e92240f9c07a29f894060091ddffff171f2c00b161000054180700f1"
        "c1fbff54eb0300cbe92a45a9e90000b47f0109eba0000054e92a46a9690000b47f0109eb2103005494020a8beeffff17"
        "1f0d00b180010054cb010054e90300aa000080d2e2fbffb42a1540382b144038420400d15f010b6b60ffff5400008092"
        "d8ffff1700fcffb49402018bdeffff17f80300aaa6ffff17e02b00f9e1430191020180d204000014c05200a9e10316aa"
        "020081d2a00080d2030088d2040080d2050080d2c81980d2010000d4a00f80d2c80b80d2010000d4d31240b90000a2d2"
        "0120a0d2e81a80d2010000d40000a4d20108a0d2e81a80d2010000d400008092e00300f9e0030091010080d2020080d2"
        "030180d2281180d2010000d41f0000712bffff541f440071c0000054e103002ae003132a281080d2010000d4f2ffff17"
        "00008092e1230091220080d2030080d2882080d2010000d41f00136ba00000541f000071ecfeff54e0fcff54d8ffff17"
        "e40b40b9803c0853f403002a65030058e603009184180072a000005494000211e0234039e5020058e60f0091e50300f9"
        "49018052470080d20a08c91a4b81091bcc6867388c010b0bcc682738e0030a2ae70400f12affff54600080d2e1030091"
        "020180d2030080d2880880d2010000d4e003142abbffff17303030202d31200a2d3120303030200a696e697400000000"
    ),
}
_MACHINES = {"x86_64": 62, "aarch64": 183}  # EM_X86_64, EM_AARCH64 of elf(5)
_HEADERS = 64 + 56
_BASE = 0x400000  # where it is mapped
#: Descriptors of a child, in the order in which they come along: the exit file, the file of its program, where it reports,
#: a user namespace, a network namespace, stdout, stderr, its cgroup's folder.
EXIT, IMAGE, REPORT, USERNS, NETWORK, OUT, ERR, CGROUP = range(3, 11)
#: What a launch that fails says on its report socket: this many slots, of which the second is the position; or -errno alone,
#: where it could not map its program.
TOLD = 256
#: How a launch that fails ends.
FAILED = 125
#: What ps(1) shows of the zygote, and of PID 1.
TITLE = "supervisor: init"
_PARENT, _INTO_CGROUP = 0x8000, 0x200000000


def elf(machine: str, code: bytes) -> bytes:
    """A whole program: an ELF header, one program header, the code (elf(5))."""
    size = _HEADERS + len(code)
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")  # 64 bits, little-endian
    entry = _BASE + _HEADERS
    head = struct.pack("<16s2HI3QI6H", ident, 2, _MACHINES[machine], 1, entry, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<2I6Q", 1, 5, 0, _BASE, _BASE, size, size, 0x10000)  # PT_LOAD, to read and execute
    return head + segment + code


def make() -> int:
    """A descriptor of the program. Raises KernelError(ENOEXEC) where there is none for this machine, OSError."""
    machine = platform.machine()
    if machine not in CODE:
        raise KernelError("launch", errno.ENOEXEC, f"no container can be launched on {machine}")
    return memory.sealed("init", elf(machine, CODE[machine]), 0o111)


def spawn(file: int, requests: socket.socket) -> int:
    """The PID of a zygote: of `file`, with nothing but the other end of `requests`. Raises OSError."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    before = process.block_signals()  # which is inherited; init waits for them
    try:
        return os.posix_spawn(
            f"/proc/self/fd/{file}", [TITLE], {}, setsigdef=signal.valid_signals(),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, requests.fileno(), 0),
                (os.POSIX_SPAWN_DUP2, null, 1),
                (os.POSIX_SPAWN_DUP2, null, 2),
            ],
        )  # fmt: skip
    finally:
        process.unblock_signals(before)
        os.close(null)


def request(flags: int) -> bytes:
    """A struct clone_args (clone3(2)): a sibling of the zygote, and so a child of whoever spawned that, born in the v2
    cgroup whose folder comes along, with `flags` as well.
    """
    return libc.words(flags | _PARENT | _INTO_CGROUP, 0, 0, 0, 0, 0, 0, 0, 0, 0, CGROUP)
