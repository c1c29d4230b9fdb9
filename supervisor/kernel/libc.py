"""The only file that speaks ctypes: each function is one system call, checked.

Every function raises KernelError(call, errno, path) on failure. Text arguments are encoded by
the file-system encoding; descriptors and flags are ints. Calls that Python's own `os` offers
(fork, pidfd_open, splice …) are not repeated here. Sources: the man page of each call, and
include/uapi/linux/{mount,openat2,prctl,capability}.h for numbers.
"""

import ctypes
import os
import platform
import signal
import struct

from supervisor.errors import KernelError

_libc = ctypes.CDLL(None, use_errno=True)
# syscall(2) is variadic: each argument is passed as 64 bits. c_void_p takes ints, bytes, buffers and None.
invoke = _libc.syscall
invoke.restype, invoke.argtypes = ctypes.c_long, (ctypes.c_long, *[ctypes.c_void_p] * 6)
last_errno = ctypes.get_errno
NOTHING = (0,) * 6
# Without letting the interpreter's lock go: for clone3, whose child has no other thread.
_clone = ctypes.PyDLL(None, use_errno=True).syscall
_clone.restype, _clone.argtypes = ctypes.c_long, (ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
_after_fork_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
for _hook in (_before_fork, _after_fork_in_child, _after_fork_in_parent):
    _hook.restype = None
# For clone_asleep: glibc's clone(2), which begins a function on another stack.
_clone_here = _libc.clone
_clone_here.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_sleep = ctypes.cast(_libc.sleep, ctypes.c_void_p)
_stack = ctypes.create_string_buffer(1 << 14)
_SECONDS = 0

#: Call → its number on x86-64, and on architectures that follow asm-generic/unistd.h. Calls newer than
#: 2019 share one number on all of them.
_OLD = {
    "capget": (125, 90), "capset": (126, 91), "chdir": (80, 49), "chroot": (161, 51), "clone": (56, 220), "close": (3, 57),
    "dup3": (292, 24), "eventfd2": (290, 19), "execve": (59, 221), "faccessat": (269, 48), "fchdir": (81, 50),
    "fchmodat": (268, 53), "fchown": (93, 55), "fchownat": (260, 54), "getcwd": (79, 17), "getgroups": (115, 158),
    "getresgid": (120, 150), "getresuid": (118, 148), "inotify_add_watch": (254, 27), "inotify_init1": (294, 26),
    "ioctl": (16, 29), "keyctl": (250, 219), "mkdirat": (258, 34), "mknodat": (259, 33), "mount": (165, 40),
    "openat": (257, 56), "personality": (135, 92), "pivot_root": (155, 41), "prctl": (157, 167), "prlimit64": (302, 261),
    "pwrite64": (18, 68), "read": (0, 63), "readlinkat": (267, 78), "recvfrom": (45, 207), "seccomp": (317, 277),
    "sendfile": (40, 71), "sendto": (44, 206), "setfsgid": (123, 152), "setfsuid": (122, 151), "setgroups": (116, 159),
    "sethostname": (170, 161), "setns": (308, 268), "setresgid": (119, 149), "setresuid": (117, 147),
    "setsid": (112, 157), "sigprocmask": (14, 135), "socket": (41, 198), "statx": (332, 291), "symlinkat": (266, 36),
    "tee": (276, 77), "umask": (95, 166), "umount2": (166, 39), "unshare": (272, 97), "write": (1, 64),
}  # fmt: skip
_NEW = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "clone3": 435,
    "close_range": 436, "openat2": 437, "mount_setattr": 442,
}  # fmt: skip
NUMBERS = {name: both[platform.machine() != "x86_64"] for name, both in _OLD.items()} | _NEW

_CLONE_PIDFD, _CLONE_INTO_CGROUP = 0x1000, 0x200000000
_CLONE_VM, _CLONE_FILES = 0x100, 0x400
_CAPABILITY_VERSION_3 = struct.pack("2I", 0x20080522, 0)
_sets = ctypes.create_string_buffer(24)
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
O_CLOEXEC = os.O_CLOEXEC


def _syscall(call: str, path: str, *args: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    result: int = invoke(NUMBERS[call], *args, *NOTHING[len(args) :])
    if result < 0:
        raise KernelError(call, ctypes.get_errno(), path)
    return result


def words(*words: int) -> bytes:
    """64-bit words as the kernel reads an extensible struct."""
    return struct.pack(f"{len(words)}Q", *words)


def memory(where: int | bytes, size: int) -> bytes:
    """What lies there, `size` bytes of it."""
    return ctypes.string_at(where, size)


# ── namespaces ─────────────────────────────────────────────────────────────────────────


def unshare(flags: int) -> None:
    _syscall("unshare", hex(flags), flags)


def setns(namespace: int, flags: int) -> None:
    _syscall("setns", hex(flags), namespace, flags)


# ── mounts ─────────────────────────────────────────────────────────────────────────────


# ── processes ──────────────────────────────────────────────────────────────────────────


def clone3(flags: int, cgroup: int = -1) -> tuple[int, int]:
    """Fork with flags: PID and pidfd of the child, 0 and -1 in it, which is born in the v2 cgroup behind
    descriptor `cgroup` if one is given.

    The interpreter is told as os.fork() tells it, by the functions made for that
    (PyOS_BeforeFork …). Safe for a process of one thread: glibc's fork() does no more for it than
    note the child's thread id, which its next os.fork() puts right.
    """
    pidfd = ctypes.c_int(-1)
    flags |= _CLONE_PIDFD | (_CLONE_INTO_CGROUP if cgroup >= 0 else 0)
    arguments = words(flags, ctypes.addressof(pidfd), 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, max(cgroup, 0))
    _before_fork()
    pid: int = _clone(NUMBERS["clone3"], arguments, len(arguments))
    if pid == 0:
        _after_fork_in_child()
        return 0, -1
    _after_fork_in_parent()
    if pid < 0:
        raise KernelError("clone3", ctypes.get_errno(), hex(flags))
    return pid, pidfd.value


def clone_asleep(flags: int) -> int:
    """The PID of a process that is born in new namespaces, sleeps for no time and ends. Until it is waited for (with
    __WALL: it sends no SIGCHLD), its namespaces are found by its number. Had it slept on, it would have kept the helper's
    lock, and the sockets whose end tells others that the helper is dead, if that had been killed meanwhile.

    It shares this process's memory and descriptors, so that nothing is copied: it costs a twentieth of a fork.
    Safe: it runs sleep(3) on a stack of its own, which writes nothing of ours before it ends; its signals
    must be blocked, or a handler of ours would run in it. Not two at once: there is one stack.
    """
    flags |= _CLONE_VM | _CLONE_FILES
    pid: int = _clone_here(_sleep, ctypes.addressof(_stack) + len(_stack) & -16, flags, _SECONDS)
    if pid < 0:
        raise KernelError("clone", ctypes.get_errno(), hex(flags))
    return pid


def set_signal_mask(mask: int) -> int:
    """Block exactly the signals whose bits are set, signal 1 being bit 0; the mask before (sigprocmask(2)).

    signal.pthread_sigmask says the same with sets of enums, which cost a launch half a millisecond.
    """
    set_mask = 2  # SIG_SETMASK
    before = ctypes.create_string_buffer(8)
    _syscall("sigprocmask", hex(mask), set_mask, mask.to_bytes(8, "little"), before, 8)
    return int.from_bytes(before.raw, "little")


def personality(persona: int) -> int:
    """The execution domain and its flags before the call; 0xFFFFFFFF only asks (personality(2))."""
    return _syscall("personality", hex(persona), persona)


def address(data: bytes) -> int:
    """Where they lie, for as long as they are held."""
    found: int = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value or 0
    return found


def overwrite(address: int, data: bytes) -> None:
    """Memory of this process; the caller knows that it may be written."""
    ctypes.memmove(address, data, len(data))


def prctl(option: int, argument: int = 0, argument3: int = 0, name: str = "") -> int:
    # prctl(2) rejects garbage in unused arguments; `_syscall` fills them with 0.
    return _syscall("prctl", name or str(option), option, argument, argument3)


def capability_sets(effective: int, permitted: int, inheritable: int) -> tuple[bytes, bytes]:
    """Bit masks as capset(2) takes them (_LINUX_CAPABILITY_VERSION_3): header and data."""
    low = 0xFFFFFFFF
    data = struct.pack(
        "6I", effective & low, permitted & low, inheritable & low,
        effective >> 32, permitted >> 32, inheritable >> 32,
    )  # fmt: skip
    return _CAPABILITY_VERSION_3, data


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Sets of this thread as bit masks (capset(2))."""
    _syscall("capset", hex(permitted), *capability_sets(effective, permitted, inheritable))


def capget() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of this thread as bit masks."""
    data = struct.unpack("6I", own_capability_sets())
    return data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32


def own_capability_sets() -> bytes:
    """As the second of `capability_sets`."""
    _syscall("capget", "", _CAPABILITY_VERSION_3, _sets)
    return _sets.raw


def close_range(first: int, last: int) -> None:
    """Close the descriptors from `first` to `last` (close_range(2)). os.closerange() would hide a failure, and
    then try a thousand million numbers one by one.
    """
    _syscall("close_range", f"{first}-{last}", first, last)


# ── pipes ──────────────────────────────────────────────────────────────────────────────


def tee(source: int, target: int, length: int) -> int:
    """Copy up to `length` bytes from one pipe to another without consuming them.

    0 means no writer holds `source` open. Never blocks: BlockingIOError when nothing waits.
    """
    nonblock = 2  # SPLICE_F_NONBLOCK
    try:
        return _syscall("tee", "", source, target, length, nonblock)
    except KernelError as error:
        raise OSError(error.errno, os.strerror(error.errno)) from None  # which picks BlockingIOError by errno


# ── changes ────────────────────────────────────────────────────────────────────────────


def inotify_init1(flags: int) -> int:
    return _syscall("inotify_init1", "", flags)


def inotify_add_watch(watcher: int, path: str, mask: int) -> int:
    return _syscall("inotify_add_watch", path, watcher, os.fsencode(path), mask)
