"""What an operator should do about a launch that failed: from stage and errno to one sentence. Pure."""

import errno as e

_BY_STAGE_AND_ERRNO = {
    ("exec", e.ENOENT): "no such program in the container's root directory; see command and rootfs",
    ("exec", e.EACCES): "not executable for the container's user; see its mode and the folders above it",
    ("exec", e.ENOEXEC): "not a program: neither ELF for this machine nor a script with a #! line",
    ("user", e.ENOENT): "no such name in the container's root directory; write it as uid:gid, or add it there",
    ("rlimits", e.EPERM): "the supervisor may not raise this hard limit (it lacks CAP_SYS_RESOURCE)",
    ("workdir", e.ENOENT): "workdir does not exist in the container's root directory",
    ("root", e.ENOENT): "rootfs does not exist any more",
    ("root", e.ENODEV): 'this kernel has no overlay file system; use rootfs_mode = "direct" or "read-only"',
    ("device", e.ENODEV): "not a device node; name a character or block device below /dev",
    ("user namespace", e.ENOSPC): "too many user namespaces; raise /proc/sys/user/max_user_namespaces",
    ("user namespace", e.EPERM): "no permission to make a user namespace; see `supervisor doctor`",
    ("user namespace", e.EINVAL): "the kernel refuses this range of ids; see id_pool in [supervisor]",
    ("time", e.EPERM): "no permission to set the clocks of a time namespace",
    ("seccomp", e.EACCES): "no_new_privileges = false needs a capability here that the filter's loading takes",
    ("network", e.EPERM): "no permission to set up a network namespace; see `supervisor doctor`",
    ("namespaces", e.EPERM): "no permission to unshare namespaces; see `supervisor doctor`",
    ("namespaces", e.ENOSPC): "too many namespaces of a kind; raise the limits in /proc/sys/user",
    ("fork", e.EAGAIN): "no more processes may be made; see pids.max and kernel.pid_max",
    ("cgroup", e.ERANGE): "the kernel did not take the limit as written",
}  # fmt: skip


def hint(stage: str, number: int, path: str, call: str) -> str:
    """One sentence, or nothing when the errno says enough by itself."""
    if call == "execve-interpreter":
        return "the file is there, but the interpreter in its #! line or its ELF loader is not in the root directory"
    if stage == "cgroup" and number == e.ENOTSUP:
        controller = path.split(".", 1)[0]
        return (
            f"this host has no cgroup v2 {controller} controller, so the limit cannot be applied; "
            "boot with systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all, or take the key out"
        )
    if call == "idmap":
        return (
            "this file system, or one that is mounted below it, cannot show its files with other owners (mount_setattr(2), "
            "MOUNT_ATTR_IDMAP); "
            'write userns = "host" for this container, or move them to one that can, such as ext4, xfs or btrfs'
        )
    if number == e.ELOOP:
        return "a symbolic link stands in the root directory where a folder of the container's own must be"
    if stage == "mount" and number == e.EROFS:
        return "the mount point does not exist and the root is read-only; make it in the root directory"
    return _BY_STAGE_AND_ERRNO.get((stage, number), "")
