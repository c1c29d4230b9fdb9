"""What `seccomp = "default"` lets a container call: an allow-list.

What is on no list here does not exist for a container (ENOSYS), so that libraries fall back as they do
on an older kernel: clone3, whose flags a filter cannot see, io_uring_*, and whatever is newer than our table.
What exists but is refused says EPERM, as the kernel would. A call that belongs to a capability is let through
to a container that holds it.

Arguments of type int are compared in their low 32 bits, which is all the kernel looks at.
"""

import errno

from supervisor.core.seccomp import Circumstances, Comparison, Profile, Rule

_INT = 0xFFFFFFFF
#: CLONE_NEWNS | NEWCGROUP | NEWUTS | NEWIPC | NEWUSER | NEWPID | NEWNET; NEWTIME is not for clone(2).
_NAMESPACES = 0x7E020000

_ALLOWED = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek sendfile splice tee copy_file_range
open openat openat2 creat close close_range dup dup2 dup3 pipe pipe2 fcntl flock ioctl
stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 cachestat
truncate ftruncate fallocate fsync fdatasync sync syncfs sync_file_range fadvise64 readahead
getdents getdents64 getcwd chdir fchdir mkdir mkdirat rmdir mknod mknodat rename renameat renameat2
link linkat unlink unlinkat symlink symlinkat readlink readlinkat umask
chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat file_getattr file_setattr
listxattr llistxattr flistxattr listxattrat removexattr lremovexattr fremovexattr removexattrat
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch
poll ppoll select pselect6 epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
eventfd eventfd2 signalfd signalfd4 timerfd_create timerfd_settime timerfd_gettime
io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents

mmap munmap mremap mprotect msync madvise mincore brk mlock mlock2 munlock mlockall munlockall mseal
pkey_alloc pkey_free pkey_mprotect memfd_create memfd_secret membarrier map_shadow_stack
shmget shmat shmdt shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl
mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
futex futex_waitv futex_wake futex_wait futex_requeue set_robust_list get_robust_list rseq rseq_slice_yield

clone fork vfork execve execveat exit exit_group wait4 waitid pidfd_open pidfd_send_signal
kill tkill tgkill pause alarm restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend
rt_sigtimedwait rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack uretprobe uprobe
getpid getppid gettid getpgid setpgid getpgrp getsid setsid set_tid_address
arch_prctl prctl personality set_thread_area get_thread_area seccomp
landlock_create_ruleset landlock_add_rule landlock_restrict_self
getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid
setgroups setfsuid setfsgid capget capset
getpriority setpriority getrlimit setrlimit prlimit64 getrusage times sysinfo uname getcpu getrandom
sched_yield sched_setparam sched_getparam sched_setscheduler sched_getscheduler sched_setattr sched_getattr
sched_get_priority_max sched_get_priority_min sched_rr_get_interval sched_setaffinity sched_getaffinity
ioprio_set ioprio_get

time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep getitimer setitimer
timer_create timer_settime timer_gettime timer_getoverrun timer_delete

socket socketpair bind listen accept accept4 connect shutdown getsockname getpeername setsockopt getsockopt
sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg
""".split()

#: Refused, unless a container holds one of the capabilities.
_WITH: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("SYS_ADMIN",),
        "mount umount2 pivot_root open_tree open_tree_attr move_mount fsopen fsconfig fsmount fspick",
    ),
    (
        ("SYS_ADMIN",),
        "mount_setattr setns unshare sethostname setdomainname quotactl quotactl_fd swapon swapoff",
    ),
    (("SYS_ADMIN",), "fanotify_init fanotify_mark"),
    (("SYS_CHROOT",), "chroot"),
    (
        ("SYS_PTRACE",),
        "ptrace process_vm_readv process_vm_writev process_madvise pidfd_getfd kcmp userfaultfd",
    ),
    (("SYS_MODULE",), "init_module finit_module delete_module"),
    (("SYS_BOOT",), "reboot kexec_load kexec_file_load"),
    (("SYS_TIME",), "clock_settime settimeofday clock_adjtime adjtimex"),
    (("SYS_RAWIO",), "iopl ioperm"),
    (("SYS_PACCT",), "acct"),
    (("SYS_TTY_CONFIG",), "vhangup"),
    (("DAC_READ_SEARCH",), "open_by_handle_at name_to_handle_at"),
    (("SYSLOG",), "syslog"),
    (("BPF", "SYS_ADMIN"), "bpf"),
    (("PERFMON", "SYS_ADMIN"), "perf_event_open"),
    ((), "add_key request_key keyctl modify_ldt"),
)
#: Not there without its capability: libnuma takes that for a machine of one node and goes on.
_NUMA = "mbind set_mempolicy set_mempolicy_home_node get_mempolicy migrate_pages move_pages"

_UNIX, _INET, _INET6, _NETLINK, _PACKET = 1, 2, 10, 16, 17
_ROUTE, _AUDIT = 0, 9  # NETLINK_*
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
#: PER_LINUX, PER_LINUX32, each with UNAME26, and the question which it is.
_PERSONALITIES = (0, 8, 0x20000, 0x20008, 0xFFFFFFFF)


def _refuse(
    names: str, number: int, *args: Comparison, having: tuple[str, ...] = (), lacking: tuple[str, ...] = ()
) -> Rule:
    """`lacking`: not for who holds any of these."""
    return Rule(
        tuple(names.split()),
        "SCMP_ACT_ERRNO",
        number,
        args,
        Circumstances(having),
        Circumstances(lacking),
    )


def _allow(names: str, *having: str) -> Rule:
    return Rule(tuple(names.split()), "SCMP_ACT_ALLOW", includes=Circumstances(having))


def _none_of(index: int, values: tuple[int, ...]) -> tuple[Comparison, ...]:
    return tuple(Comparison(index, "MASKED_NE", _INT, value) for value in values)


def _is(index: int, value: int) -> Comparison:
    return Comparison(index, "SCMP_CMP_MASKED_EQ", _INT, value)


def _sockets() -> tuple[Rule, ...]:
    """Families that ordinary services use; others (VSOCK, ALG, TIPC …) are the kernel's rarely walked paths."""
    families, new = (_UNIX, _INET, _INET6, _NETLINK), "socket socketpair"
    return (
        _refuse(new, errno.EAFNOSUPPORT, *_none_of(0, families), lacking=("NET_RAW",)),
        _refuse(new, errno.EAFNOSUPPORT, *_none_of(0, (*families, _PACKET)), having=("NET_RAW",)),
        _refuse(
            new,
            errno.EPROTONOSUPPORT,
            _is(0, _NETLINK),
            *_none_of(2, (_ROUTE,)),
            lacking=("NET_ADMIN", "AUDIT_WRITE"),
        ),
        _refuse(
            new,
            errno.EPROTONOSUPPORT,
            _is(0, _NETLINK),
            *_none_of(2, (_ROUTE, _AUDIT)),
            having=("AUDIT_WRITE",),
            lacking=("NET_ADMIN",),
        ),
    )


DEFAULT = Profile(
    "SCMP_ACT_ERRNO",
    errno.ENOSYS,
    (
        Rule(tuple(_ALLOWED), "SCMP_ACT_ALLOW"),
        *(_refuse(names, errno.EPERM, lacking=some) for some, names in _WITH),
        *(_allow(names, one) for some, names in _WITH for one in some),
        _allow(_NUMA, "SYS_NICE"),
        _allow("clone3", "SYS_ADMIN"),
        _refuse(
            "clone", errno.EPERM, Comparison(0, "MASKED_NE", _NAMESPACES, 0), lacking=("SYS_ADMIN",)
        ),
        _refuse("personality", errno.EPERM, *_none_of(0, _PERSONALITIES)),
        _refuse("ioctl", errno.EPERM, _is(1, _TIOCSTI)),
        _refuse("ioctl", errno.EPERM, _is(1, _TIOCLINUX)),
        *_sockets(),
    ),
)  # fmt: skip
