"""System calls that change the machine, or reach parts of the kernel that no service needs.

Each is made with arguments that have no effect: values written back, invalid magic numbers, names of nothing.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import platform

from tests.escape.calls import MACHINE, NOWHERE, call, gives_fd, number, reaches
from tests.escape.check import Denied, Missing, Told, add, check

NOTHING = b"/no/such/file"
ADDR_NO_RANDOMIZE, ADJ_ESTERROR = 0x0040000, 0x0008

#: name, severity, what would be wrong, the call. The permission comes before any look at the arguments.
_DRY = (
    ("kexec_load_call", "high", "the kernel can be replaced", "kexec_load", (0, 0, 0, 0xFF00)),
    ("kexec_file_load_call", "high", "the kernel can be replaced by a file", "kexec_file_load", (-1, -1, 0, 0, 0xFF00)),
    ("init_module_call", "high", "kernel modules can be loaded", "init_module", (0, 0, b"")),
    ("finit_module_call", "high", "kernel modules can be loaded by descriptor", "finit_module", (-1, b"", 0)),
    ("delete_module_call", "high", "kernel modules can be removed", "delete_module", (b"no_such_module", os.O_NONBLOCK)),
    ("settimeofday_call", "high", "the machine's clock can be set", "settimeofday", (0, 0)),
    ("reboot_call", "high", "the machine can be rebooted", "reboot", (0, 0, 0, 0)),
    ("swapon_call", "high", "swap can be added", "swapon", (NOTHING, 0)),
    ("swapoff_call", "high", "swap can be taken away", "swapoff", (NOTHING,)),
    ("acct_call", "medium", "process accounting can be turned on", "acct", (NOTHING,)),
    ("quotactl_call", "low", "quotactl is allowed", "quotactl", (0x80000400, NOTHING, 0, 0)),
    ("syslog_call", "medium", "the kernel's messages can be read by syslog(2)", "syslog", (10, 0, 0)),
    ("io_uring_setup_call", "medium", "io_uring is allowed: calls that no filter sees", "io_uring_setup", (0, NOWHERE)),
    ("set_mempolicy_call", "low", "set_mempolicy is allowed", "set_mempolicy", (0, 0, 0)),
    ("mbind_call", "low", "mbind is allowed", "mbind", (0, 0, 0, 0, 0, 0)),
    ("request_key_call", "low", "the kernel can be made to run request-key on the host", "request_key", (NOWHERE, NOWHERE, 0, 0)),
)  # fmt: skip


def _dry(name: str, severity: str, wrong: str, word: str, arguments: tuple[int | bytes, ...]) -> None:
    def attempt(_: Told) -> str | None:
        return reaches(word, *arguments)

    add(name, severity, wrong, attempt)


for _row in _DRY:
    _dry(*_row)


class _Timex(ctypes.Structure):
    """struct timex: `modes`, then enough room for the rest."""

    _fields_ = (("modes", ctypes.c_uint), ("rest", ctypes.c_long * 40))


@check("high", "the machine's clock can be adjusted")
def adjtimex_call(_: Told) -> str | None:
    return _same_clock("adjtimex")


@check("high", "the machine's clock can be adjusted by clock_adjtime")
def clock_adjtime_call(_: Told) -> str | None:
    return _same_clock("clock_adjtime", 0)


def _same_clock(word: str, *clock: int) -> str:
    now = _Timex()
    call(word, *clock, now)
    now.modes = ADJ_ESTERROR  # the estimated error, as it was
    call(word, *clock, now)
    return f"{word} wrote what it read"


@check("high", "BPF maps can be made")
def bpf_call(_: Told) -> str | None:
    attributes = (ctypes.c_uint32 * 32)(2, 4, 4, 1)  # BPF_MAP_TYPE_ARRAY, key and value size, entries
    return gives_fd("bpf", 0, attributes, ctypes.sizeof(attributes))


def _perf(kind: int, config: int, flags: int, pid: int, cpu: int) -> str:
    attributes = (ctypes.c_uint64 * 16)()
    attributes[0] = kind | 128 << 32  # type, size
    attributes[1] = config
    attributes[5] = flags
    return gives_fd("perf_event_open", attributes, pid, cpu, -1, 0)


@check("high", "performance events of the whole machine can be read")
def perf_event_open_machine(_: Told) -> str | None:
    return _perf(1, 0, 0, -1, 0)


@check("low", "performance events are allowed")
def perf_event_open_call(_: Told) -> str | None:
    return _perf(1, 1, 0x61, os.getpid(), -1)  # the task's clock; disabled, no kernel, no hypervisor


@check("medium", "userfaultfd is allowed: it stops the kernel where an attacker likes")
def userfaultfd_call(_: Told) -> str | None:
    return gives_fd("userfaultfd", os.O_CLOEXEC)


@check("low", "userfaultfd is allowed for faults in user mode")
def userfaultfd_user_mode(_: Told) -> str | None:
    return gives_fd("userfaultfd", os.O_CLOEXEC | 1)


@check("low", "fanotify is allowed")
def fanotify_init_call(_: Told) -> str | None:
    return gives_fd("fanotify_init", 0x200, 0)


@check("medium", "the host's name can be set")
def hostname_set(_: Told) -> str | None:
    name = os.uname().nodename.encode()
    call("sethostname", name, len(name))
    return "sethostname wrote what it read"


@check("medium", "the host's domain name can be set")
def domainname_set(_: Told) -> str | None:
    with open("/proc/sys/kernel/domainname", "rb") as file:
        name = file.read().strip()
    call("setdomainname", name, len(name))
    return "setdomainname wrote what it read"


@check("high", "the machine's ports can be reached by iopl")
def iopl_call(_: Told) -> str | None:
    call("iopl", 3)
    return "iopl(3)"


@check("high", "the machine's ports can be reached by ioperm")
def ioperm_call(_: Told) -> str | None:
    call("ioperm", 0x80, 1, 1)
    return "ioperm(0x80)"


@check("low", "modify_ldt is allowed")
def modify_ldt_call(_: Told) -> str | None:
    return reaches("modify_ldt", 0, ctypes.create_string_buffer(16), 16)


@check("medium", "terminals can be hung up")
def vhangup_call(_: Told) -> str | None:
    os.setsid()  # no terminal any more: nothing to hang up
    return reaches("vhangup")


@check("low", "the process's personality can be changed: no randomisation of its memory")
def personality_call(_: Told) -> str | None:
    call("personality", ADDR_NO_RANDOMIZE)
    return "ADDR_NO_RANDOMIZE"


@check(
    "medium",
    "the personality of whoever started the supervisor is the service's: its memory is not randomised",
)
def personality_inherited(_: Told) -> str | None:
    try:
        found = call("personality", 0xFFFFFFFF)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        raise Denied("personality cannot be asked") from None
    return f"{found:#x}" if found else None


@check("low", "set-user-ID programs' securebits can be changed")
def securebits_call(_: Told) -> str | None:
    from tests.escape.calls import LIBC

    bits = LIBC.prctl(27, 0, 0, 0, 0)  # PR_GET_SECUREBITS
    if bits < 0 or LIBC.prctl(28, bits, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return f"PR_SET_SECUREBITS {bits:#x}"


@check("medium", "calls of the 32-bit ABI are answered: a filter for 64-bit numbers does not see them")
def foreign_abi_int80(_: Told) -> str | None:
    if MACHINE != "x86_64":
        raise Missing(f"{MACHINE} has no int 0x80")
    code = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov $20, %eax (getpid); int $0x80; ret
    start = ctypes.addressof(ctypes.c_char.from_buffer(code))
    found: int = ctypes.CFUNCTYPE(ctypes.c_int)(start)()
    return f"getpid by int 0x80 is {found}" if found == os.getpid() else None


@check("medium", "calls of the x32 ABI are answered")
def foreign_abi_x32(_: Told) -> str | None:
    if MACHINE != "x86_64":
        raise Missing(f"{MACHINE} has no x32")
    return f"getpid by x32 is {number(0x40000000 + 39)}"


@check("low", "processes can be given a higher priority")
def nice_lowered(_: Told) -> str | None:
    return f"nice {os.nice(-1)}"


@check("medium", "processes can be given real-time priority: others get no processor")
def realtime_scheduling(_: Told) -> str | None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "SCHED_FIFO"


@check("low", "real-time disk priority can be taken")
def ioprio_realtime(_: Told) -> str | None:
    call("ioprio_set", 1, 0, 1 << 13)
    return "IOPRIO_CLASS_RT"


@check("medium", "memory of the kernel's own choosing can be locked beyond any limit")
def mlock_unlimited(_: Told) -> str | None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if resource.RLIM_INFINITY in {soft, hard}:
        return f"RLIMIT_MEMLOCK is unlimited, {platform.release()}"
    return None
