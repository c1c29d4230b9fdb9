"""Processes of others: the host's, and PID 1 of the container, which is the supervisor's.

What belongs to the probe itself (it may be PID 1) is left out. Signals are signal 0, memory is only opened, and
of the host's processes none is touched but the one that the harness put there.
"""

from __future__ import annotations

import ctypes
import errno
import os

from tests.escape.calls import NOWHERE, call
from tests.escape.check import MAIN, Denied, Missing, Told, at_home, check, text, word
from tests.escape.filesystem import is_foreign, reads_canary

PTRACE_TRACEME, PTRACE_SEIZE = 0, 0x4206


def everyone() -> list[int]:
    """All that can be seen but the probe's own."""
    pids = [int(one) for one in os.listdir("/proc") if one.isdigit()]
    return [pid for pid in pids if pid not in {MAIN, os.getpid()}]


def victim(host: Told) -> int:
    """PID 1 of the container, or the harness's process on the host."""
    if at_home(host, "pid"):
        return int(host["pid"])
    if MAIN == 1:
        raise Missing("PID 1 is the service itself")
    return 1


def _strangers(host: Told) -> list[int]:
    found = []
    for pid in everyone():
        try:
            if host["nonce"] in text(f"/proc/{pid}/cmdline"):
                found.append(pid)
        except OSError:
            continue
    return found


@check("high", "processes of the host can be seen")
def host_processes_visible(host: Told) -> str | None:
    return " ".join(map(str, _strangers(host))) or None


@check("high", "processes of the host can be sent signals")
def signal_host_processes(host: Told) -> str | None:
    for pid in _strangers(host):
        os.kill(pid, 0)
        return f"signal 0 to {pid}"
    return None


@check("medium", "signals reach processes outside the container by the process group")
def signal_process_group(_: Told) -> str | None:
    # A group whose leader is outside of the PID namespace reads as 0 (getpgrp(2)).
    return "its process group is led from outside" if os.getpgid(MAIN) == 0 else None


@check("medium", "the session is led by whoever started the supervisor")
def session_of_parent(_: Told) -> str | None:
    return "its session is led from outside" if os.getsid(MAIN) == 0 else None


@check("high", "/proc/PID/root or /proc/PID/cwd of another process leads out of the root directory")
def proc_pid_root_traverse(host: Told) -> str | None:
    for pid in everyone():
        for name in ("root", "cwd"):
            if reads_canary(host, f"/proc/{pid}/{name}/{host['canary'].lstrip('/')}"):
                return f"/proc/{pid}/{name}"
            try:
                fd = os.open(f"/proc/{pid}/{name}", os.O_PATH)
            except OSError:
                continue
            if is_foreign(fd):
                return f"/proc/{pid}/{name}"
            os.close(fd)
    return None


@check("high", "descriptors of another process lead out of the container")
def proc_pid_fd_reach(host: Told) -> str | None:
    if at_home(host, "mnt"):
        return next(iter(os.listdir(f"/proc/{victim(host)}/fd")))
    for pid in everyone():
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except OSError:
            continue
        for name in names:
            try:
                fd = os.open(f"/proc/{pid}/fd/{name}", os.O_PATH)
            except OSError:
                continue
            if is_foreign(fd):
                return f"/proc/{pid}/fd/{name} -> {os.readlink(f'/proc/{pid}/fd/{name}')}"
            os.close(fd)
    return None


def _foreign_exe(host: Told, flags: int) -> str | None:
    for pid in os.listdir("/proc"):
        if not pid.isdigit():
            continue
        path = f"/proc/{pid}/exe"
        try:
            fd = os.open(path, os.O_PATH)
        except OSError:
            continue
        found = os.fstat(fd)
        if is_foreign(fd) or [found.st_dev, found.st_ino] in host["programs"]:
            try:
                os.close(os.open(path, flags))
            except OSError as error:
                # A program in use may not be written to; but its permissions were already seen to allow it.
                if error.errno != errno.ETXTBSY:
                    continue
            return f"{path} -> {os.readlink(path)}"
    return None


@check("high", "a program of the host can be overwritten (CVE-2019-5736)")
def proc_exe_overwrite(host: Told) -> str | None:
    return _foreign_exe(host, os.O_WRONLY)


@check("medium", "a program of the host that was not shown can be reached")
def proc_exe_reached(host: Told) -> str | None:
    return _foreign_exe(host, os.O_RDONLY)


@check(
    "high", "a secret in the environment of whoever started the supervisor can be read from another process"
)
def proc_environ_of_others(host: Told) -> str | None:
    for pid in everyone():
        try:
            if host["nonce"] in text(f"/proc/{pid}/environ"):
                return f"/proc/{pid}/environ"
        except OSError:
            continue
    return None


@check("medium", "PID 1's environment can be read")
def proc_1_environ(host: Told) -> str | None:
    return "environ" if text(f"/proc/{victim(host)}/environ") else None


@check("low", "PID 1's command line names files of the host")
def proc_1_cmdline(host: Told) -> str | None:
    words = text(f"/proc/{victim(host)}/cmdline").split("\0")
    return next((word for word in words if word.startswith("/")), None)


@check("high", "PID 1's memory can be read and written")
def proc_1_mem(host: Told) -> str | None:
    os.close(os.open(f"/proc/{victim(host)}/mem", os.O_RDWR))
    return f"/proc/{victim(host)}/mem"


@check("medium", "PID 1's memory map can be read: the layout of the supervisor, whose fork it is")
def proc_1_maps(host: Told) -> str | None:
    return "maps" if text(f"/proc/{victim(host)}/maps") else None


@check("medium", "PID 1's descriptors are listed")
def proc_1_fd(host: Told) -> str | None:
    return " ".join(os.listdir(f"/proc/{victim(host)}/fd"))


@check("low", "PID 1's settings can be changed")
def proc_1_write(host: Told) -> str | None:
    os.close(os.open(f"/proc/{victim(host)}/oom_score_adj", os.O_WRONLY))
    return "oom_score_adj"


@check("high", "another's process can be traced")
def ptrace_others(host: Told) -> str | None:
    call("ptrace", PTRACE_SEIZE, victim(host), 0, 0)
    return f"seized {victim(host)}"


@check("high", "another's memory can be read by process_vm_readv")
def process_vm_readv_others(host: Told) -> str | None:
    return _reads_memory(victim(host))


def _reads_memory(pid: int) -> str:
    room = ctypes.create_string_buffer(8)
    here = (ctypes.c_void_p * 2)(ctypes.addressof(room), 8)
    there = (ctypes.c_void_p * 2)(NOWHERE, 8)
    try:
        call("process_vm_readv", pid, here, 1, there, 1, 0)
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
    return f"of {pid}"


@check("high", "another's descriptors can be taken by pidfd_getfd")
def pidfd_getfd_others(host: Told) -> str | None:
    os.close(call("pidfd_getfd", call("pidfd_open", victim(host), 0), 0, 0))
    return f"of {victim(host)}"


@check("medium", "another's descriptors can be compared by kcmp")
def kcmp_others(host: Told) -> str | None:
    return f"kcmp = {call('kcmp', os.getpid(), victim(host), 0, 0, 0)}"


# ── calls that reach one's own processes only, but much code of the kernel ─────────────


@check("low", "ptrace is allowed")
def ptrace_call(_: Told) -> str | None:
    call("ptrace", PTRACE_TRACEME, 0, 0, 0)
    return "PTRACE_TRACEME"


@check("low", "process_vm_readv is allowed")
def process_vm_readv_call(_: Told) -> str | None:
    return _reads_memory(os.getpid())


@check("low", "kcmp is allowed: an oracle for kernel addresses")
def kcmp_call(_: Told) -> str | None:
    return f"kcmp = {call('kcmp', os.getpid(), os.getpid(), 1, 0, 0)}"


@check("low", "pidfd_getfd is allowed")
def pidfd_getfd_call(_: Told) -> str | None:
    os.close(call("pidfd_getfd", call("pidfd_open", os.getpid(), 0), 1, 0))
    return "pidfd_getfd"


@check("medium", "the process can be made less likely to be ended when memory runs out than it began")
def oom_score_adj_lowering(_: Told) -> str | None:
    before = int(text("/proc/self/oom_score_adj"))
    if before == -1000:
        return "it is -1000 already"
    fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY)
    try:
        os.write(fd, str(before - 1).encode())
    except OSError as error:
        raise Denied(f"from {before}: {word(error)}") from None
    return f"from {before} to {before - 1}"
