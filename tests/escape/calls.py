"""System calls by number: what libc has no word for, or would check before the kernel does.

Numbers are the kernel's own (arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import errno
import os
from typing import Any

from tests.escape.check import Missing, word

_NAMES = (
    "ioctl shmget shmat shmctl ptrace syslog personality pivot_root adjtimex acct settimeofday mount umount2 swapon "
    "swapoff reboot sethostname setdomainname init_module delete_module quotactl vhangup clone semget msgget "
    "set_mempolicy mbind mq_open kexec_load add_key request_key keyctl ioprio_set unshare perf_event_open "
    "fanotify_init name_to_handle_at open_by_handle_at clock_adjtime setns process_vm_readv kcmp finit_module "
    "kexec_file_load bpf userfaultfd capset"
).split()
_X86_64 = (
    "16 29 30 31 101 103 135 155 159 163 164 165 166 167 168 169 170 171 175 176 179 153 56 64 68 238 237 240 246 248 "
    "249 250 251 272 298 300 303 304 305 308 310 312 313 320 321 323 126"
).split()
_GENERIC = (
    "29 194 196 195 117 116 92 41 171 89 170 40 39 224 225 142 161 162 105 106 60 58 220 190 186 237 235 180 104 217 "
    "218 219 30 97 241 262 264 265 266 268 270 272 273 294 280 282 91"
).split()
#: From here on every architecture numbers alike.
_ALIKE = {
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "pidfd_open": 434, "clone3": 435, "pidfd_getfd": 438, "mount_setattr": 442,
}  # fmt: skip
_X86_ONLY = {"modify_ldt": 154, "iopl": 172, "ioperm": 173}
_OF_MACHINE = {
    "x86_64": {**dict(zip(_NAMES, map(int, _X86_64))), **_ALIKE, **_X86_ONLY},  # noqa: B905 - Python 3.9
    "aarch64": {**dict(zip(_NAMES, map(int, _GENERIC))), **_ALIKE},  # noqa: B905
}
MACHINE = os.uname().machine
NUMBERS = _OF_MACHINE.get(MACHINE, _ALIKE)
assert len(_NAMES) == len(_X86_64) == len(_GENERIC)

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
AT_FDCWD = -100
#: No memory is there: a call that gets as far as to read it fails with EFAULT, and has no effect.
NOWHERE = 1

CLONE_NEWNS, CLONE_NEWUSER = 0x20000, 0x10000000


def call(name: str, *arguments: Any) -> int:
    """A system call; integers, bytes (passed as a C string), None or ctypes values. OSError as the kernel said."""
    if name not in NUMBERS:
        raise Missing(f"{MACHINE} has no {name}")
    return number(NUMBERS[name], *arguments)


def number(value: int, *arguments: Any) -> int:
    result: int = LIBC.syscall(ctypes.c_long(value), *map(_word, arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def _word(value: Any) -> Any:
    if isinstance(value, int):
        return ctypes.c_ulong(value & 0xFFFFFFFFFFFFFFFF)
    if isinstance(value, bytes):
        return ctypes.c_char_p(value)
    return ctypes.byref(value) if isinstance(value, (ctypes.Structure, ctypes.Array)) else value


#: How a kernel or a filter says that the caller may not; every other error comes after that decision.
_NOT_ALLOWED = {errno.EPERM, errno.EACCES, errno.ENOSYS}


def reaches(name: str, *arguments: Any) -> str:
    """For calls whose bad arguments are looked at only after the caller's right: any other error is a success."""
    try:
        value = call(name, *arguments)
    except OSError as error:
        if error.errno in _NOT_ALLOWED:
            raise
        return f"{name}: {word(error)}, after the permission was granted"
    return f"{name} = {value}"


def gives_fd(name: str, *arguments: Any) -> str:
    """For calls that give a descriptor, which is closed again."""
    os.close(call(name, *arguments))
    return f"{name} gave a descriptor"
