"""Filters in the kernel: what is installed is in force, for real calls of a forked child, and what is refused has its errno."""

import ctypes
import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.config.load import load
from supervisor.core.seccomp import Profile
from supervisor.core.spec import Configuration, Container, Logs, Settings
from supervisor.core.syscalls import NUMBERS
from supervisor.errors import KernelError
from supervisor.kernel import calls, process
from supervisor.kernel.program import run, slots
from supervisor.launcher.seccomp import compile_filters

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(platform.machine() not in NUMBERS, reason="no table of this machine's system calls"),
]
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
HERE = NUMBERS.get(platform.machine(), {})
TIOCSTI, NEWUSER, SIGCHLD = 0x5412, 0x10000000, 17
VSOCK, ALG, PACKET = 40, 38, 17


def raw(name: str, *args: int) -> int:
    """A call as it is, with 64-bit arguments: 0 or the errno."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(HERE[name]), *(ctypes.c_long(each) for each in args))
    return ctypes.get_errno() if result < 0 else 0


def install(program: bytes) -> None:
    """On this process, for good."""
    run((calls.seccomp_filter(program),), slots(0))


def under(programs: tuple[bytes, ...], action: Callable[[], object]) -> tuple[object, int]:
    """What `action` returns (JSON) in a child under the filters, and the child's wait status."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            process.no_new_privileges()
            for program in programs:
                install(program)
            os.write(write, json.dumps(action()).encode())
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  # a child of a test says why it ended
            os.write(write, json.dumps(repr(error)).encode())
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read, "rb") as answer:
        said = answer.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(said) if said else None, status


def filters(container: Container, *profiles: tuple[str, Profile]) -> tuple[bytes, ...]:
    return compile_filters(Configuration(Settings(Logs("/logs")), (container,), seccomp=profiles))[
        container.name
    ]


def default(*held: str) -> tuple[bytes, ...]:
    return filters(Container("web", "host", ("/bin/true",), userns="host", capabilities=held))


def test_the_kernel_says_that_the_filter_is_in_force() -> None:
    def tell() -> list[str]:
        with open("/proc/self/status") as status:
            return [line.split()[1] for line in status if line.startswith("Seccomp:")]

    assert under(default(), tell) == (["2"], 0)


@pytest.mark.parametrize(
    "program", [b"", b"\x06\x00", bytes(8 * 4097), bytes(8)], ids=["none", "odd", "long", "bad"]
)
def test_bytes_that_are_no_program_are_refused(program: bytes) -> None:
    with pytest.raises(KernelError, match="seccomp"):
        install(program)


def test_without_no_new_privileges_a_user_may_not_load_one() -> None:
    pid = os.fork()
    if pid == 0:
        os.setresuid(65534, 65534, 65534)
        try:
            install(default()[0])
        except KernelError as error:
            os._exit(error.errno)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EACCES


def test_the_default_filter_refuses_real_calls() -> None:
    def attempt() -> dict[str, int]:
        return {
            "clone NEWUSER": raw("clone", NEWUSER | SIGCHLD, 0, 0, 0, 0),
            "clone3": raw("clone3", 0, 0),
            "unshare": raw("unshare", NEWUSER),
            "socket VSOCK": raw("socket", VSOCK, 1, 0),
            "socket ALG": raw("socket", ALG, 5, 0),
            "socket PACKET": raw("socket", PACKET, 3, 0),
            "TIOCSTI": raw("ioctl", 0, TIOCSTI, 0),
            "TIOCSTI, high": raw("ioctl", 0, TIOCSTI | 1 << 32, 0),
            "mount": raw("mount", 0, 0, 0, 0, 0),
            "keyctl": raw("keyctl", 0, 0),
            "io_uring_setup": raw("io_uring_setup", 1, 0),
            "unknown": 0 if libc.syscall(ctypes.c_long(4000)) >= 0 else ctypes.get_errno(),
        }

    assert under(default(), attempt) == (
        {
            "clone NEWUSER": errno.EPERM,
            "clone3": errno.ENOSYS,
            "unshare": errno.EPERM,
            "socket VSOCK": errno.EAFNOSUPPORT,
            "socket ALG": errno.EAFNOSUPPORT,
            "socket PACKET": errno.EAFNOSUPPORT,
            "TIOCSTI": errno.EPERM,
            "TIOCSTI, high": errno.EPERM,
            "mount": errno.EPERM,
            "keyctl": errno.EPERM,
            "io_uring_setup": errno.ENOSYS,
            "unknown": errno.ENOSYS,
        },
        0,
    )


def test_a_capability_opens_its_calls_to_the_kernels_own_checks() -> None:
    """An impossible argument reaches the kernel, which says EFAULT instead of the filter's EPERM."""

    def attempt() -> list[int]:
        return [raw("clock_settime", 0, 0), raw("mount", 1, 1, 1, 0, 1)]

    assert under(default(), attempt) == ([errno.EPERM, errno.EPERM], 0)
    assert under(default("SYS_TIME", "SYS_ADMIN"), attempt) == ([errno.EFAULT, errno.EFAULT], 0)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is an ABI of x86_64")
def test_an_x32_call_ends_the_process() -> None:
    said, status = under(default(), lambda: libc.syscall(ctypes.c_long(0x40000000 | HERE["getpid"])))
    assert (said, os.WTERMSIG(status)) == (None, signal.SIGSYS)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="int 0x80 is an instruction of x86")
def test_an_i386_call_ends_the_process() -> None:
    # mov eax, 20 (getpid of i386); int 0x80; ret
    code = (
        "import ctypes, mmap;"
        "page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC);"
        r"page.write(b'\xb8\x14\x00\x00\x00\xcd\x80\xc3');"
        "address = ctypes.addressof(ctypes.c_char.from_buffer(page));"
        "print(ctypes.CFUNCTYPE(ctypes.c_int)(address)())"
    )
    _, status = under(default(), lambda: os.execv(sys.executable, [sys.executable, "-c", code]))
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGSYS


#: Ordinary work, each an own program under the default filter; what it needs besides Python and sh skips it.
PROGRAMS = {
    "threads": "import threading; t = [threading.Thread(target=sum, args=([1],)) for _ in range(8)];"
    "[x.start() for x in t]; [x.join() for x in t]",
    "subprocess": "import subprocess; assert subprocess.run(['true']).returncode == 0",
    "asyncio": "import asyncio\nasync def main():\n p = await asyncio.create_subprocess_exec('true')\n"
    " assert await p.wait() == 0\nasyncio.run(main())",
    "multiprocessing": "import multiprocessing as m\np = m.get_context('fork').Pool(2)\n"
    "assert p.map(abs, [-1, -2]) == [1, 2]\np.close(); p.join()",
    "getaddrinfo": "import socket; assert socket.getaddrinfo('localhost', 80)",
    "sockets": "import socket; a = socket.create_server(('127.0.0.1', 0)); b = socket.create_connection(a.getsockname());"
    "b.send(b'x'); assert a.accept()[0].recv(1) == b'x'",
    "sqlite": "import sqlite3, tempfile; f = tempfile.NamedTemporaryFile(); d = sqlite3.connect(f.name);"
    "d.execute('pragma journal_mode = wal'); d.execute('create table t (x)'); d.commit()",
    "memory": "import mmap, multiprocessing.shared_memory as s; m = mmap.mmap(-1, 4096); m[0] = 1;"
    "b = s.SharedMemory(create=True, size=4096); b.buf[0] = 1; b.close(); b.unlink()",
    "signals": "import signal, os; signal.signal(signal.SIGUSR1, lambda *a: None); os.kill(os.getpid(), signal.SIGUSR1);"
    "signal.setitimer(signal.ITIMER_REAL, 10); signal.sigtimedwait([signal.SIGUSR2], 0)",
    "files": "import os, tempfile, shutil; d = tempfile.mkdtemp(); p = d + '/a'; open(p, 'w').close(); os.chmod(p, 0o600);"
    "os.rename(p, p + 'b'); os.symlink('x', p); os.mkfifo(d + '/f'); os.utime(p + 'b'); os.statvfs(d);"
    "shutil.copyfile(p + 'b', d + '/c'); os.sync(); shutil.rmtree(d)",
}
COMMANDS = {
    "pipeline": "seq 1000 | sort -r | head -n 3 | wc -l | grep -q 3",
    "tar": 'd=$(mktemp -d) && tar -C /etc -cf "$d/a.tar" hostname passwd && tar -C "$d" -xf "$d/a.tar" && rm -r "$d"',
    "dd": "dd if=/dev/zero bs=4k count=16 status=none | gzip | gzip -d | wc -c | grep -q 65536",
    "find": "find /etc -maxdepth 1 -name passwd | xargs -r cat > /dev/null",
    "perl": "perl -MSocket -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die; fork or exit; wait; exit !-e \"/\"'",
}


def status_of(*argv: str) -> int:
    """Exit status of a program under the default filter; its words go to the test's own stderr."""
    _, status = under(default(), lambda: os.execvp(argv[0], argv))
    return os.waitstatus_to_exitcode(status)


@pytest.mark.parametrize("name", PROGRAMS)
def test_python_works_under_the_default_filter(name: str) -> None:
    assert status_of(sys.executable, "-I", "-S", "-c", PROGRAMS[name]) == 0


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_work_under_the_default_filter(name: str) -> None:
    if subprocess.run(["sh", "-ec", COMMANDS[name]], check=False, capture_output=True).returncode:
        pytest.skip(f"{name} does not work here without a filter either")
    assert status_of("sh", "-ec", COMMANDS[name]) == 0


PROFILE = {
    "defaultAction": "SCMP_ACT_ALLOW",
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        {"names": ["mkdirat", "mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EDOM},
        {"name": "uname", "action": "SCMP_ACT_ERRNO", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "errno": "ENOLINK",
         "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_GE"}, {"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]},
        {"names": ["getpriority"], "action": "SCMP_ACT_KILL_PROCESS", "includes": {"minKernel": "3.17"}},
    ],
}  # fmt: skip


def test_a_profile_in_a_file_is_in_force_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "web.json").write_text(json.dumps(PROFILE))
    (tmp_path / "web.toml").write_text(
        '[container.web]\nrootfs = "host"\ncommand = ["/bin/true"]\nuserns = "host"\nseccomp = "web.json"\n'
    )
    programs = compile_filters(load(str(tmp_path)))["web"]

    def attempt() -> list[int]:
        return [
            raw("mkdirat", -1, 0, 0),
            raw("uname", 0),
            raw("socket", 2, 2, 0),
            raw("socket", 2, 1, 0),
            raw("getpid"),
        ]

    assert under(programs, attempt) == ([errno.EDOM, errno.EPERM, errno.ENOLINK, 0, 0], 0)
    _, status = under(programs, lambda: os.getpriority(os.PRIO_PROCESS, 0))
    assert os.WTERMSIG(status) == signal.SIGSYS


def test_a_socket_made_before_the_filter_goes_on_working() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert under(default(), lambda: theirs.send(b"x")) == (1, 0)
        assert ours.recv(1) == b"x"
