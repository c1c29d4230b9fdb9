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
# syscall(2) is variadic: each argument is passed as 64 bits. c_void_p takes ints, bytes, arrays and None.
_call = _libc.syscall
_call.restype, _call.argtypes = ctypes.c_long, (ctypes.c_long, *[ctypes.c_void_p] * 6)
_NOTHING = (0,) * 6
# Bound here, once: what a launch looks up anew costs it pages of its own.
_setfsuid, _setfsgid = _libc.setfsuid, _libc.setfsgid
_setfsuid.argtypes = _setfsgid.argtypes = (ctypes.c_uint,)
_capset, _capget = _libc.capset, _libc.capget
_capset.argtypes = _capget.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
_CAPABILITY_VERSION_3 = struct.pack("2I", 0x20080522, 0)
_prctl = _libc.prctl
_prctl.argtypes = (ctypes.c_int, *[ctypes.c_ulong] * 4)
# Without letting the interpreter's lock go: for clone3, whose child has no other thread.
_clone = ctypes.PyDLL(None, use_errno=True).syscall
_clone.restype, _clone.argtypes = ctypes.c_long, (ctypes.c_long, ctypes.c_void_p, ctypes.c_long)
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_in_child = ctypes.pythonapi.PyOS_AfterFork_Child
_after_fork_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
for _hook in (_before_fork, _after_fork_in_child, _after_fork_in_parent):
    _hook.restype = None

# Calls newer than 2019 share one number on every architecture (asm-generic/unistd.h).
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _OPENAT2, _MOUNT_SETATTR = (
    428,
    429,
    430,
    431,
    432,
    437,
    442,
)
_CLOSE_RANGE = 436
_CLONE3, _CLONE_PIDFD, _CLONE_INTO_CGROUP = 435, 0x1000, 0x200000000
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}.get(platform.machine(), -1)
_SECCOMP = {"x86_64": 317, "aarch64": 277, "riscv64": 277}.get(platform.machine(), -1)
_SIGPROCMASK = {"x86_64": 14, "aarch64": 135, "riscv64": 135}.get(platform.machine(), -1)
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}.get(platform.machine(), -1)

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
O_CLOEXEC = os.O_CLOEXEC


def _raise(call: str, path: str) -> None:
    raise KernelError(call, ctypes.get_errno(), path)


def _syscall(
    call: str, path: str, number: int, *args: int | bytes | ctypes.Array[ctypes.c_char] | None
) -> int:
    result: int = _call(number, *args, *_NOTHING[len(args) :])
    if result < 0:
        _raise(call, path)
    return result


def _struct(*words: int) -> ctypes.Array[ctypes.c_char]:
    """64-bit words as the kernel reads an extensible struct."""
    return ctypes.create_string_buffer(b"".join(w.to_bytes(8, "little") for w in words), 8 * len(words))


# ── namespaces ─────────────────────────────────────────────────────────────────────────


def unshare(flags: int) -> None:
    if _libc.unshare(ctypes.c_int(flags)) < 0:
        _raise("unshare", hex(flags))


def setns(namespace: int, flags: int) -> None:
    if _libc.setns(ctypes.c_int(namespace), ctypes.c_int(flags)) < 0:
        _raise("setns", hex(flags))


# ── mounts ─────────────────────────────────────────────────────────────────────────────


def mount_propagation(path: str, flags: int) -> None:
    """mount(2) with only propagation flags (MS_PRIVATE, MS_SLAVE, MS_REC)."""
    if _libc.mount(None, os.fsencode(path), None, ctypes.c_ulong(flags), None) < 0:
        _raise("mount", path)


def umount2(path: str, flags: int) -> None:
    if _libc.umount2(os.fsencode(path), ctypes.c_int(flags)) < 0:
        _raise("umount2", path)


def pivot_root(new: str, old: str) -> None:
    _syscall("pivot_root", new, _PIVOT_ROOT, os.fsencode(new), os.fsencode(old))


def open_tree(directory: int, path: str, flags: int) -> int:
    return _syscall("open_tree", path, _OPEN_TREE, directory, os.fsencode(path), flags | O_CLOEXEC)


def move_mount(mount: int, target: int, flags: int, path: str = "") -> None:
    """Attach the mount behind descriptor `mount` to the place behind descriptor `target`."""
    _syscall("move_mount", path, _MOVE_MOUNT, mount, b"", target, b"", flags)


def fsopen(fstype: str) -> int:
    return _syscall("fsopen", fstype, _FSOPEN, os.fsencode(fstype), 1)


def fsconfig(context: int, command: int, key: str | None, value: str | None) -> None:
    _syscall(
        "fsconfig",
        f"{key}={value}" if key else "create",
        _FSCONFIG,
        context,
        command,
        None if key is None else os.fsencode(key),
        None if value is None else os.fsencode(value),
        0,
    )


def fsmount(context: int, attributes: int) -> int:
    return _syscall("fsmount", "", _FSMOUNT, context, 1, attributes)


def mount_setattr(
    mount: int, flags: int, added: int, removed: int, path: str = "", *, userns: int = 0
) -> None:
    attributes = _struct(added, removed, 0, userns)
    _syscall("mount_setattr", path, _MOUNT_SETATTR, mount, b"", flags | AT_EMPTY_PATH, attributes, 32)


def openat2(directory: int, path: str, flags: int, resolve: int, mode: int = 0) -> int:
    how = _struct(flags | O_CLOEXEC, mode, resolve)
    return _syscall("openat2", path, _OPENAT2, directory, os.fsencode(path), how, 24)


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
    arguments = _struct(flags, ctypes.addressof(pidfd), 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, max(cgroup, 0))
    _before_fork()
    pid: int = _clone(_CLONE3, arguments, len(arguments))
    if pid == 0:
        _after_fork_in_child()
        return 0, -1
    _after_fork_in_parent()
    if pid < 0:
        _raise("clone3", hex(flags))
    return pid, pidfd.value


def setfsid(uid: int, gid: int) -> None:
    """Whose files this thread makes (setfsuid(2), setfsgid(2)); neither call says that it failed."""
    for call, function, wanted in (("setfsgid", _setfsgid, gid), ("setfsuid", _setfsuid, uid)):
        function(wanted)
        if function(0xFFFFFFFF) & 0xFFFFFFFF != wanted:  # an impossible id only asks
            raise KernelError(call, 1, str(wanted))


def set_signal_mask(mask: int) -> int:
    """Block exactly the signals whose bits are set, signal 1 being bit 0; the mask before (sigprocmask(2)).

    signal.pthread_sigmask says the same with sets of enums, which cost a launch half a millisecond.
    """
    set_mask = 2  # SIG_SETMASK
    before = ctypes.create_string_buffer(8)
    _syscall("sigprocmask", hex(mask), _SIGPROCMASK, set_mask, mask.to_bytes(8, "little"), before, 8)
    return int.from_bytes(before.raw, "little")


def join_session_keyring() -> None:
    """A new, empty session keyring (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING)."""
    _syscall("keyctl", "session keyring", _KEYCTL, 1, None)


def personality(persona: int) -> int:
    """The execution domain and its flags before the call; 0xFFFFFFFF only asks (personality(2))."""
    result: int = _libc.personality(ctypes.c_ulong(persona))
    if result < 0:
        _raise("personality", hex(persona))
    return result


def overwrite(address: int, data: bytes) -> None:
    """Memory of this process; the caller knows that it may be written."""
    ctypes.memmove(address, data, len(data))


def prctl(option: int, argument: int = 0, argument3: int = 0, name: str = "") -> int:
    # prctl(2) rejects garbage in unused arguments, so all five are always passed.
    result: int = _prctl(option, argument, argument3, 0, 0)
    if result < 0:
        _raise("prctl", name or str(option))
    return result


def seccomp_filter(program: bytes) -> None:
    """Put this thread under a filter for good: an array of struct sock_filter (SECCOMP_SET_MODE_FILTER, seccomp(2))."""
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a 16-bit count, padding, a pointer
    fprog = _struct(len(program) // 8, ctypes.addressof(instructions))
    _syscall("seccomp", f"{len(program) // 8} instructions", _SECCOMP, 1, 0, fprog)


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Sets of this thread as bit masks (capset(2), _LINUX_CAPABILITY_VERSION_3)."""
    low = 0xFFFFFFFF
    data = struct.pack(
        "6I", effective & low, permitted & low, inheritable & low,
        effective >> 32, permitted >> 32, inheritable >> 32,
    )  # fmt: skip
    if _capset(_CAPABILITY_VERSION_3, data) < 0:
        _raise("capset", hex(permitted))


def capget() -> tuple[int, int, int]:
    """(effective, permitted, inheritable) of this thread as bit masks."""
    sets = ctypes.create_string_buffer(24)
    if _capget(_CAPABILITY_VERSION_3, sets) < 0:
        _raise("capget", "")
    data = struct.unpack("6I", sets.raw)
    return data[0] | data[3] << 32, data[1] | data[4] << 32, data[2] | data[5] << 32


def close_range(first: int, last: int) -> None:
    """Close the descriptors from `first` to `last` (close_range(2)). os.closerange() would hide a failure, and
    then try a thousand million numbers one by one.
    """
    _syscall("close_range", f"{first}-{last}", _CLOSE_RANGE, first, last, 0)


# ── pipes ──────────────────────────────────────────────────────────────────────────────


def tee(source: int, target: int, length: int) -> int:
    """Copy up to `length` bytes from one pipe to another without consuming them.

    0 means no writer holds `source` open. Never blocks: BlockingIOError when nothing waits.
    """
    nonblock = 2  # SPLICE_F_NONBLOCK
    result: int = _libc.tee(
        ctypes.c_int(source), ctypes.c_int(target), ctypes.c_size_t(length), ctypes.c_uint(nonblock)
    )
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))  # OSError picks BlockingIOError by errno itself
    return result
