"""Files of the host: by path, by descriptor, by handle, by links, by programs that gain something."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import stat
import subprocess
from pathlib import Path

from tests.escape.calls import AT_FDCWD, call
from tests.escape.check import INHERITED, Denied, Missing, Told, at_home, check, status, text, word

#: What the harness put beside the probe: links, and programs with bits that would give something.
STAGE = Path(__file__).resolve().parents[2]


def mounts() -> list[dict[str, str]]:
    """/proc/self/mountinfo (proc_pid_mountinfo(5))."""
    found = []
    for line in text("/proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        number, _, _, root, target, options = before.split()[:6]
        kind, source = after.split()[:2]
        found.append(
            {"id": number, "root": root, "target": target, "options": options, "kind": kind, "source": source}
        )
    return found


def is_foreign(fd: int) -> bool:
    """Whether a descriptor's file lies on a mount that this mount namespace does not have."""
    for line in text(f"/proc/self/fdinfo/{fd}").splitlines():
        if line.startswith("mnt_id:"):
            return line.split()[1] not in {mount["id"] for mount in mounts()}
    return False


def reads_canary(host: Told, path: str, at: int | None = None) -> bool:
    """Whether a path leads to the host's file that no container is shown."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK, dir_fd=at)
    except OSError:
        return False
    try:
        return bool(os.read(fd, 4096).decode(errors="replace") == host["nonce"])
    finally:
        os.close(fd)


def climb(start: int) -> int:
    """The directory at the top of a directory, by `..` alone."""
    here = start
    while True:
        above = os.open("..", os.O_PATH | os.O_DIRECTORY, dir_fd=here)
        if os.path.samestat(os.fstat(above), os.fstat(here)):
            return above
        here = above


@check("high", "a second chroot leaves the first: the host's files are open")
def chroot_double_escape(host: Told) -> str | None:
    top = os.open("/", os.O_PATH | os.O_DIRECTORY)
    folder = next(path for path in ("/tmp", "/proc", "/dev", "/usr") if os.path.isdir(path))
    os.chroot(folder)
    os.fchdir(top)
    found = climb(os.open(".", os.O_PATH | os.O_DIRECTORY))
    os.fchdir(found)
    os.chroot(".")
    if reads_canary(host, host["canary"]):
        return "the host's root directory"
    raise Denied("chroot is allowed, but leads nowhere")


@check("high", "chroot is allowed: a step of many escapes, and of fooling set-user-ID programs")
def chroot_call(_: Told) -> str | None:
    os.chroot("/")
    return 'chroot("/") succeeded'


@check("high", "descriptors of whoever started the supervisor reach the service")
def leaked_fds(_: Told) -> str | None:
    found = []
    for fd in sorted(set(INHERITED) - {0, 1, 2}):
        try:
            found.append(f"{fd} -> {os.readlink(f'/proc/self/fd/{fd}')}")
        except OSError:
            found.append(str(fd))
    return ", ".join(found) or None


@check("high", "a directory descriptor leads out of the root directory (CVE-2024-21626)")
def leaked_dirfd_outside_root(host: Told) -> str | None:
    for fd in INHERITED:
        if stat.S_ISDIR(INHERITED[fd].st_mode):
            top = climb(fd)
            if reads_canary(host, host["canary"].lstrip("/"), top) or is_foreign(fd):
                return f"descriptor {fd}"
    return None


@check("high", "the working directory lies outside the root directory (CVE-2024-21626)")
def cwd_outside_root(host: Told) -> str | None:
    here = os.open(".", os.O_PATH | os.O_DIRECTORY)
    if os.readlink("/proc/self/cwd").startswith("(unreachable)"):
        return os.readlink("/proc/self/cwd")
    found = os.fstat(here)
    if [found.st_dev, found.st_ino] == host["cwd"]:
        return f"the working directory of whoever started the supervisor, {os.getcwd()}"
    return None if os.path.samestat(os.fstat(climb(here)), os.stat("/")) else "it is not below /"


@check("high", "a file of the host that nobody showed to the container can be read by its path")
def host_file_readable(host: Told) -> str | None:
    return str(host["canary"]) if reads_canary(host, host["canary"]) else None


@check("high", "the host's password hashes can be read")
def host_shadow_readable(host: Told) -> str | None:
    found = hashlib.sha256(text("/etc/shadow").encode()).hexdigest()
    return "/etc/shadow" if found == host["shadow"] else None


@check("high", "the host's accounts' home folders can be seen")
def host_homes_visible(host: Told) -> str | None:
    return _same_folders(host, "homes")


@check("medium", "folders of the host hold its state, and were not shown on purpose")
def host_folders_visible(host: Told) -> str | None:
    return _same_folders(host, "folders")


@check("high", "folders of the host can be written to")
def host_folders_writable(host: Told) -> str | None:
    shown = [str(path) for path in host["homes"] if _same_folders(host, "homes", path)]
    shown += [str(path) for path in host["folders"] if _same_folders(host, "folders", path)]
    shown += ["/usr", "/bin", "/lib"] if at_home(host, "mnt") else []
    return next((path for path in shown if os.access(path, os.W_OK)), None)


def _same_folders(host: Told, which: str, only: str = "") -> str | None:
    same = []
    for path, (device, inode) in host[which].items():
        try:
            found = os.stat(path)
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (device, inode) and only in {"", path}:
            same.append(path)
    return " ".join(same) or None


@check("medium", "writes to / go to a directory that the host keeps, in the default mode")
def root_shared_writable(_: Told) -> str | None:
    top = [mount for mount in mounts() if mount["target"] == "/"][-1]
    if os.statvfs("/").f_flag & os.ST_RDONLY or top["kind"] in {"overlay", "tmpfs"}:
        return None
    return f"/ is {top['kind']}, writable"


@check("high", 'file handles open any file of a file system, whatever is mounted ("shocker")')
def open_by_handle_at_shocker(_: Told) -> str | None:
    class Handle(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128))

    # FILEID_INO32_GEN of inode 2: the root directory of an ext file system.
    handle = Handle(size=8, kind=1)
    handle.bytes[0] = 2
    top = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.close(call("open_by_handle_at", top, handle, os.O_RDONLY))
    except OSError as error:
        if error.errno in {errno.ESTALE, errno.EINVAL, errno.EOPNOTSUPP}:
            return f"{word(error)}, after the permission was granted"
        raise
    return "inode 2"


@check("high", "a symbolic link in a shown folder leads to the host's files")
def symlink_through_bind(host: Told) -> str | None:
    links = [STAGE / "link-absolute", STAGE / "link-relative"]
    if not any(map(os.path.islink, links)):
        raise Missing("no links beside the probe")
    return next((str(link) for link in links if reads_canary(host, str(link))), None)


@check("medium", "a hard link brings a file of a shown folder where it may be changed")
def hardlink_out_of_bind(_: Told) -> str | None:
    target = f"/tmp/link-{os.getpid()}"
    os.link(STAGE / "facts.json", target, follow_symlinks=False)
    os.unlink(target)
    return target


@check("high", "a read-only folder shown to the container can be written to")
def bind_written(_: Told) -> str | None:
    path = STAGE / f"written-{os.getpid()}"
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    os.unlink(path)
    return str(path)


def _gained(program: str, *arguments: str) -> str:
    path = STAGE / program
    if not path.exists():
        raise Missing(f"no {program} beside the probe")
    try:
        done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
    except PermissionError as error:
        raise Denied(f"exec: {word(error)}") from None
    if done.returncode:
        raise Denied(done.stderr.strip())
    return done.stdout


@check("high", "a set-user-ID or set-group-ID program gains its owner's identity")
def setuid_binary_gains(_: Told) -> str | None:
    uid, gid = int(_gained("set-id", "-u")), int(_gained("set-id", "-g"))
    return f"uid {uid}, gid {gid}" if (uid, gid) != (os.getuid(), os.getgid()) else None


@check("high", "a program with file capabilities gains them")
def file_capabilities_gain(_: Told) -> str | None:
    own = int(status("CapEff"), 16)
    found = _gained("file-capabilities", "/proc/self/status")
    gained = next(int(line.split()[1], 16) for line in found.splitlines() if line.startswith("CapEff"))
    return f"{gained & ~own:x}" if gained & ~own else None


def _without(option: str, skip: tuple[str, ...]) -> str | None:
    bare = [one["target"] for one in mounts() if option not in one["options"].split(",")]
    bare = [target for target in bare if target != "/" and not target.startswith(skip)]
    return " ".join(bare) or None


# A node bound over a file in /dev is a device by intent, and no folder: nodev cannot be asked of it.
@check("low", "set-user-ID programs on a mount other than / would count")
def mounts_without_nosuid(_: Told) -> str | None:
    return _without("nosuid", (str(STAGE), "/dev/"))


@check("low", "device nodes on a mount other than / and /dev would count")
def mounts_without_nodev(_: Told) -> str | None:
    return _without("nodev", (str(STAGE), "/dev"))


@check("medium", "a file in the host's /dev/shm can be read")
def dev_shm_of_host(host: Told) -> str | None:
    return "/dev/shm" if reads_canary(host, f"/dev/shm/{host['nonce']}") else None


@check("low", "opening by a handle's sibling: handles of files can be asked for")
def name_to_handle_at_call(_: Told) -> str | None:
    class Handle(ctypes.Structure):
        _fields_ = (("size", ctypes.c_uint), ("kind", ctypes.c_int), ("bytes", ctypes.c_ubyte * 128))

    mount = ctypes.c_int()
    try:
        call("name_to_handle_at", AT_FDCWD, b"/proc/self", Handle(size=0), ctypes.byref(mount), 0)
    except OSError as error:
        if error.errno not in {errno.EOVERFLOW, errno.EOPNOTSUPP}:
            raise
    return "name_to_handle_at is allowed"
