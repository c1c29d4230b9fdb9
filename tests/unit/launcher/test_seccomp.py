"""The default filter lets ordinary programs work and closes what they do not need: told by executing it."""

import errno
from functools import cache

import pytest

from supervisor.core.spec import Configuration, Container, Logs, Settings
from supervisor.core.syscalls import ELSEWHERE, NUMBERS
from supervisor.errors import ConfigError
from supervisor.launcher.seccomp import compile_filters, compile_profile
from supervisor.launcher.seccomp_default import DEFAULT
from tests.support.bpf import ALLOW, ARM, I386, KILL_PROCESS, call, errno_of, run

UNIX, INET, INET6, NETLINK, PACKET, ALG, VSOCK = 1, 2, 10, 16, 17, 38, 40
STREAM, RAW = 1, 3
SIGCHLD = 17
NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
THREAD = 0x3D0F00  # what pthread_create asks for
TIOCSTI, TIOCLINUX, TCGETS = 0x5412, 0x541C, 0x5401
HIGH = 1 << 32


@cache
def default(*held: str, machine: str = "x86_64") -> bytes:
    return compile_profile(DEFAULT, frozenset(held), machine)


#: What services do, in words of strace.
MADE = [
    ("read",), ("openat",), ("mmap",), ("futex",), ("execve",), ("wait4",), ("vfork",), ("accept4",), ("sendfile",),
    ("io_submit",), ("memfd_create",), ("setuid",), ("setgroups",), ("capset",), ("chown",), ("mknod",), ("prctl",),
    ("seccomp",), ("landlock_create_ruleset",), ("pidfd_open",), ("rseq",), ("epoll_wait",), ("getrandom",),
    ("sched_setaffinity",), ("shmget",), ("mq_open",), ("fchmodat2",), ("exit_group",), ("rt_sigreturn",),
    ("clone", SIGCHLD), ("clone", THREAD), ("clone", THREAD | HIGH * NEWUSER),
    ("socket", UNIX, STREAM, 0), ("socket", INET, STREAM, 6), ("socket", INET6, STREAM, 6),
    ("socket", NETLINK, RAW, 0), ("socket", INET | HIGH, STREAM, 0), ("socketpair", UNIX, STREAM, 0),
    ("ioctl", 0, TCGETS), ("ioctl", 0, 0x5413), ("ioctl", TIOCSTI, 0),
    ("personality", 0), ("personality", 8), ("personality", 0x20008), ("personality", 0xFFFFFFFF),
    ("personality", (1 << 64) - 1),
]  # fmt: skip
#: What a service does not do; the last is the errno that it sees.
REFUSED = [
    (("clone", NEWUSER | SIGCHLD), errno.EPERM),
    (("clone", NEWNS), errno.EPERM),
    (("clone", NEWCGROUP), errno.EPERM),
    (("clone", NEWUTS | THREAD), errno.EPERM),
    (("clone", NEWIPC), errno.EPERM),
    (("clone", NEWPID), errno.EPERM),
    (("clone", NEWNET), errno.EPERM),
    (("clone", HIGH | NEWUSER), errno.EPERM),
    (("clone3",), errno.ENOSYS),
    (("unshare", 0), errno.EPERM),
    (("socket", VSOCK, STREAM, 0), errno.EAFNOSUPPORT),
    (("socket", ALG, 5, 0), errno.EAFNOSUPPORT),
    (("socket", PACKET, RAW, 0), errno.EAFNOSUPPORT),
    (("socket", 0, STREAM, 0), errno.EAFNOSUPPORT),
    (("socket", HIGH | VSOCK, STREAM, 0), errno.EAFNOSUPPORT),
    (("socketpair", VSOCK, STREAM, 0), errno.EAFNOSUPPORT),
    (("socket", NETLINK, RAW, 12), errno.EPROTONOSUPPORT),
    (("socket", HIGH | NETLINK, RAW, 9), errno.EPROTONOSUPPORT),
    (("ioctl", 0, TIOCSTI), errno.EPERM),
    (("ioctl", 0, TIOCSTI + HIGH), errno.EPERM),
    (("ioctl", 0, TIOCLINUX), errno.EPERM),
    (("personality", 0x40000), errno.EPERM),  # ADDR_NO_RANDOMIZE
    (("personality", 0x400000), errno.EPERM),  # READ_IMPLIES_EXEC
    (("mount",), errno.EPERM),
    (("ptrace",), errno.EPERM),
    (("keyctl",), errno.EPERM),
    (("bpf",), errno.EPERM),
    (("open_by_handle_at",), errno.EPERM),
    (("clock_settime",), errno.EPERM),
    (("kexec_load",), errno.EPERM),
    (("io_uring_setup",), errno.ENOSYS),
    (("mbind",), errno.ENOSYS),
    (("vmsplice",), errno.ENOSYS),
    (("uselib",), errno.ENOSYS),
]
#: A capability, and a call that comes with it.
OPENED = [
    ("SYS_ADMIN", ("mount",)), ("SYS_ADMIN", ("clone", NEWUSER)), ("SYS_ADMIN", ("clone3",)), ("SYS_ADMIN", ("bpf",)),
    ("SYS_ADMIN", ("setns",)), ("SYS_ADMIN", ("sethostname",)), ("SYS_ADMIN", ("fsopen",)),
    ("SYS_CHROOT", ("chroot",)), ("SYS_PTRACE", ("ptrace",)), ("SYS_PTRACE", ("process_vm_readv",)),
    ("SYS_TIME", ("clock_settime",)), ("SYS_NICE", ("mbind",)), ("SYS_NICE", ("set_mempolicy",)), ("BPF", ("bpf",)),
    ("PERFMON", ("perf_event_open",)), ("SYSLOG", ("syslog",)), ("SYS_BOOT", ("reboot",)), ("SYS_PACCT", ("acct",)),
    ("SYS_MODULE", ("finit_module",)), ("SYS_RAWIO", ("iopl",)), ("DAC_READ_SEARCH", ("open_by_handle_at",)),
    ("SYS_TTY_CONFIG", ("vhangup",)), ("NET_RAW", ("socket", PACKET, RAW, 0)),
    ("NET_ADMIN", ("socket", NETLINK, RAW, 12)), ("AUDIT_WRITE", ("socket", NETLINK, RAW, 9)),
]  # fmt: skip
#: Whatever a container holds, these stay closed.
ALWAYS = [
    ("keyctl",), ("add_key",), ("request_key",), ("modify_ldt",), ("io_uring_setup",), ("ioctl", 0, TIOCSTI),
    ("socket", VSOCK, STREAM, 0), ("socket", ALG, 5, 0), ("personality", 0x40000),
]  # fmt: skip
EVERY = tuple({capability for capability, _ in OPENED})


def name_of(case: object) -> str:
    return " ".join(str(each) for each in case) if isinstance(case, tuple) else str(case)


@pytest.mark.parametrize("made", MADE, ids=name_of)
def test_services_may_do_their_work(made: tuple[str, int]) -> None:
    assert call(default(), *made) == ALLOW


@pytest.mark.parametrize(("made", "number"), REFUSED, ids=name_of)
def test_what_they_do_not_need_is_refused_with_an_errno(made: tuple[str, int], number: int) -> None:
    assert errno_of(call(default(), *made)) == number


@pytest.mark.parametrize(("capability", "made"), OPENED, ids=name_of)
def test_a_capability_opens_the_calls_that_it_is_for_and_only_it_does(
    capability: str, made: tuple[str, int]
) -> None:
    assert call(default(capability), *made) == ALLOW
    assert errno_of(call(default(), *made))


@pytest.mark.parametrize("made", ALWAYS, ids=name_of)
def test_some_doors_open_for_no_capability(made: tuple[str, int]) -> None:
    assert errno_of(call(default(*EVERY), *made))


def test_audit_messages_do_not_open_the_other_protocols_of_netlink() -> None:
    assert errno_of(call(default("AUDIT_WRITE"), "socket", NETLINK, RAW, 12)) == errno.EPROTONOSUPPORT


@pytest.mark.parametrize("number", [0, 59, 0x3FFFFFFF, 0x40000000])
def test_a_call_of_a_foreign_abi_kills(number: int) -> None:
    assert run(default(), number, arch=I386) == KILL_PROCESS
    assert run(default(machine="aarch64"), number, arch=ARM) == KILL_PROCESS


@pytest.mark.parametrize("number", [0x40000000, 0x40000000 + 520, 0x7FFFFFFF])
def test_x32_is_killed(number: int) -> None:
    assert run(default(), number) == KILL_PROCESS


@pytest.mark.parametrize("number", [335 + 88, 472, 512, 547, 0x3FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_number_that_is_no_call_gives_enosys(number: int) -> None:
    assert errno_of(run(default(), number)) == errno.ENOSYS


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_call_is_allowed_or_gives_an_errno_on_each_machine(machine: str) -> None:
    program = default(machine=machine)
    for name in NUMBERS[machine]:
        # As socket(AF_UNIX) and personality(PER_LINUX), where arguments count.
        action = call(program, name, 1 if name in ("socket", "socketpair") else 0, machine=machine)
        assert action == ALLOW or errno_of(action) in (errno.EPERM, errno.ENOSYS), name


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_machines_differ_in_numbers_only(machine: str) -> None:
    both = NUMBERS["x86_64"].keys() & NUMBERS["aarch64"].keys()
    assert [
        name
        for name in both
        if call(default(), name) != call(default(machine=machine), name, machine=machine)
    ] == []


def test_the_default_names_only_calls_that_exist_and_says_nothing_twice() -> None:
    known = set().union(*NUMBERS.values())
    allowed = DEFAULT.rules[0].names
    assert {name for rule in DEFAULT.rules for name in rule.names} <= known
    assert len(set(allowed)) == len(allowed)
    assert not ELSEWHERE & known


def test_the_numbers_are_the_kernels() -> None:
    amd64, arm64 = NUMBERS["x86_64"], NUMBERS["aarch64"]
    some = {
        "read": 0,
        "clone": 56,
        "mount": 165,
        "openat": 257,
        "statx": 332,
        "rseq": 334,
        "pidfd_send_signal": 424,
    }
    assert {name: amd64[name] for name in some} == some
    some = {"io_setup": 0, "openat": 56, "clone": 220, "wait4": 260, "rseq": 293, "clone3": 435, "mseal": 462}
    assert {name: arm64[name] for name in some} == some
    assert "open" not in arm64


def declare(*containers: Container) -> Configuration:
    return Configuration(Settings(Logs("/logs")), containers)


def container(name: str, **fields: object) -> Container:
    return Container(name, "host", ("/bin/true",), **fields)  # type: ignore[arg-type]


def test_each_container_has_its_filter_and_equal_ones_are_compiled_once() -> None:
    filters = compile_filters(
        declare(
            container("web", userns="host"),
            container("db"),  # holds capabilities that the filter does not ask for
            container("time", userns="host", capabilities=("SYS_TIME",)),
            container("open", seccomp="unconfined"),
        ),
        "x86_64",
        "6.1.0-49-amd64",
    )
    assert {name: len(programs) for name, programs in filters.items()} == {
        "web": 1,
        "db": 1,
        "time": 1,
        "open": 0,
    }
    assert filters["web"] is filters["db"]
    assert call(filters["time"][0], "clock_settime") == ALLOW
    assert errno_of(call(filters["web"][0], "clock_settime")) == errno.EPERM


def test_a_machine_without_a_table_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r'for s390x \(write seccomp = "unconfined"\)'):
        compile_filters(declare(container("web")), "s390x", "6.1")
    assert compile_filters(declare(container("web", seccomp="unconfined")), "s390x", "6.1") == {"web": ()}
