"""/proc and /sys: files that change the kernel, or tell of it. Opened, at most read; nothing is written."""

from __future__ import annotations

import os

from tests.escape.check import Denied, Missing, Told, add, any_opens, at_home, check, opens, text, unconfined

SYS = "/proc/sys/"


def _writes(name: str, severity: str, wrong: str, *paths: str) -> None:
    def attempt(_: Told) -> str | None:
        return any_opens(list(paths), os.O_WRONLY)

    add(name, severity, wrong, attempt)


_writes(
    "core_pattern_write", "high", "the program that the host runs for a core dump can be named",
    SYS + "kernel/core_pattern",
)  # fmt: skip
_writes(
    "sysctl_kernel_write", "high", "the kernel's settings can be changed",
    *(SYS + "kernel/" + name for name in "modprobe hotplug panic randomize_va_space sysrq pid_max printk".split()),
)  # fmt: skip
_writes(
    "sysctl_vm_write", "high", "the machine's memory settings can be changed",
    *(SYS + "vm/" + name for name in "drop_caches overcommit_memory panic_on_oom swappiness".split()),
)  # fmt: skip
_writes(
    "sysctl_fs_write", "high", "the machine's file settings can be changed",
    *(SYS + "fs/" + name for name in "file-max protected_symlinks suid_dumpable binfmt_misc/register".split()),
)  # fmt: skip
_writes(
    "sysctl_net_write", "low", "the network's settings can be changed",
    *(SYS + "net/" + name for name in "ipv4/ip_forward core/somaxconn ipv4/tcp_rmem".split()),
)  # fmt: skip
_writes(
    "sysctl_namespace_write", "low", "the settings of the container's IPC and host name can be changed",
    *(SYS + "kernel/" + name for name in "hostname domainname shmmax msgmax sem".split()),
    SYS + "fs/mqueue/queues_max",
)  # fmt: skip
_writes("sysrq_trigger", "high", "the machine can be stopped by a letter", "/proc/sysrq-trigger")
_writes(
    "proc_irq_write", "medium", "interrupts can be moved between processors",
    "/proc/irq/default_smp_affinity", "/proc/irq/0/smp_affinity", "/proc/irq/1/smp_affinity",
)  # fmt: skip
_writes(
    "sysfs_write", "high", "kernel objects can be changed",
    *("/sys/kernel/" + name for name in "profiling rcu_expedited uevent_helper mm/ksm/run mm/transparent_hugepage/enabled".split()),
    "/sys/power/state", "/sys/bus/workqueue/uevent", "/sys/bus/cpu/drivers_autoprobe", "/sys/block/loop0/uevent",
    "/sys/devices/system/cpu/cpu1/online", "/sys/module/kernel/parameters/panic",
)  # fmt: skip


def _tells(name: str, severity: str, wrong: str, path: str) -> None:
    def attempt(host: Told) -> str | None:
        found = text(path, 4096)
        if not found and unconfined(host):
            raise Missing(f"{path} is empty on this machine")
        return f"{path}: {len(found)} bytes" if found else None

    add(name, severity, wrong, attempt)


for _name in (
    "key-users config.gz interrupts iomem ioports modules slabinfo vmallocinfo partitions latency_stats "
    "pagetypeinfo mtrr kpagecount kpageflags kpagecgroup timer_stats softirqs diskstats"
).split():
    # softirqs and diskstats are left by OCI runtimes: they are counters, no addresses and no handles.
    if _name not in {"softirqs", "diskstats"}:
        _tells(
            f"proc_{_name.replace('-', '_').replace('.', '_')}",
            "low",
            f"/proc/{_name} tells of the machine",
            f"/proc/{_name}",
        )
_tells("proc_keys", "medium", "keys and keyrings of others are listed", "/proc/keys")
_tells("proc_timer_list", "medium", "kernel addresses and processes of others are listed", "/proc/timer_list")
_tells("proc_sched_debug", "medium", "processes of others are listed", "/proc/sched_debug")


@check("high", "the kernel's memory can be read")
def proc_kcore(_: Told) -> str | None:
    return f"{len(text('/proc/kcore', 64))} bytes" if text("/proc/kcore", 64) else None


@check("medium", "the kernel's messages can be read by /proc/kmsg")
def proc_kmsg(_: Told) -> str | None:
    # Not read: that would take the messages away from who they are for. A mask is not of procfs.
    if os.stat("/proc/kmsg").st_dev != os.stat("/proc").st_dev:
        raise Denied("masked")
    return opens("/proc/kmsg", os.O_RDONLY)


@check("medium", "the kernel's symbols are listed with their addresses")
def proc_kallsyms(_: Told) -> str | None:
    first = text("/proc/kallsyms", 4096).split(" ", 1)[0]
    return first if first.strip("0") else None


@check("low", "the kernel's symbols are listed")
def proc_kallsyms_names(_: Told) -> str | None:
    return "names" if text("/proc/kallsyms", 64) else None


def _lists(name: str, severity: str, wrong: str, path: str) -> None:
    def attempt(host: Told) -> str | None:
        found = os.listdir(path)
        if not found and unconfined(host):
            raise Missing(f"{path} is empty on this machine")
        return f"{path}: {len(found)} entries" if found else None

    add(name, severity, wrong, attempt)


_lists("sys_firmware", "medium", "the firmware's tables can be read", "/sys/firmware")
_lists("sys_kernel_debug", "high", "the kernel can be debugged", "/sys/kernel/debug")
_lists("sys_kernel_tracing", "high", "the kernel can be traced", "/sys/kernel/tracing")
_lists("sys_kernel_security", "medium", "the security modules' files are there", "/sys/kernel/security")
_lists("sys_fs_bpf", "high", "BPF programs of the host can be reached", "/sys/fs/bpf")
_lists("sys_fs_pstore", "medium", "what the last crash left can be read", "/sys/fs/pstore")
_lists(
    "sys_powercap",
    "medium",
    "the power meter tells of others' secrets (PLATYPUS)",
    "/sys/devices/virtual/powercap",
)
_lists("proc_acpi", "medium", "the machine's ACPI can be reached", "/proc/acpi")
_lists("proc_scsi", "medium", "the machine's disks can be reached (CVE-2017-16539)", "/proc/scsi")


@check("low", "the kernel's build identity and settings are told by /sys/kernel")
def sys_kernel(_: Told) -> str | None:
    return f"{len(text('/sys/kernel/notes', 4096))} bytes" if text("/sys/kernel/notes", 4096) else None


@check("medium", "/sys shows the host's network interfaces")
def sysfs_of_host_network(host: Told) -> str | None:
    found = sorted(set(os.listdir("/sys/class/net")) & set(host["interfaces"]))
    return " ".join(found) or None


@check("medium", "the container's place in the host's cgroups is told")
def cgroup_path_leak(host: Told) -> str | None:
    # In the host's cgroup namespace every path is the host's, "/" too.
    if at_home(host, "cgroup"):
        return text("/proc/self/cgroup").splitlines()[-1]
    leaks = [
        line for line in text("/proc/self/cgroup").splitlines() if line.split(":", 2)[2] not in {"/", ""}
    ]
    return " ".join(leaks) or None


@check("low", "the host's name is told")
def hostname_of_host(host: Told) -> str | None:
    return os.uname().nodename if os.uname().nodename == host["hostname"] else None
