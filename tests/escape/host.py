"""What stands on the host for the probe to reach: canaries, sockets, shared memory, a process. All of it is
harmless, named by a nonce, and taken away again when the block ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import pwd
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.escape.calls import CLONE_NEWUSER, LIBC, call
from tests.escape.check import NAMESPACES

SOURCE = Path(__file__).resolve().parent
#: The part of tests/escape that goes inside.
INSIDE = "calls check devices filesystem identity kernel_calls mounts network probe processes procfs".split()
USER_KEYRING = -4 & 0xFFFFFFFF
KEYCTL_UNLINK = 9
#: VFS_CAP_REVISION_2 | effective; CAP_NET_RAW and CAP_SYS_ADMIN permitted (capability.h).
FILE_CAPABILITIES = b"".join(word.to_bytes(4, "little") for word in (0x02000001, 1 << 13 | 1 << 21, 0, 0, 0))
GROUPS = [4, 24, 44]


class Host(NamedTuple):
    stage: Path  # to be shown inside, read-only; the probe is PROBE below it
    facts: dict[str, Any]
    nonce: str
    folder: Path  # a folder of the host to have as working directory, and a file in it: `canary`


PROBE = "tests/escape/probe.py"


@contextlib.contextmanager
def set_up(root: Path) -> Iterator[Host]:
    """`root` is the root directory that sandboxes are given: the programs beside the probe must run in it."""
    nonce = f"escape-{secrets.token_hex(8)}"
    with contextlib.ExitStack() as after:
        # Not $TMPDIR: whoever the probe runs as must be able to enter, and a socket's path must be short.
        folder = Path(tempfile.mkdtemp(prefix="escape-", dir="/var/tmp"))
        after.callback(shutil.rmtree, folder, ignore_errors=True)
        folder.chmod(0o755)
        (folder / "canary").write_text(nonce)
        facts: dict[str, Any] = {"nonce": nonce, "canary": str(folder / "canary"), "cwd": _identity(folder)}
        facts |= _of_machine() | _listening(folder, nonce, after) | _shared(nonce, after)
        facts |= {"pid": _process(nonce, after), "key": _key(nonce, after)}
        facts |= {"groups": GROUPS, "environment": {**os.environ, "SECRET": nonce}}
        stage = _stage(folder, root)
        # Not SECRET itself: the probe may read this file, and looks for the nonce elsewhere.
        (stage / "facts.json").write_text(json.dumps(facts))
        yield Host(stage, facts, nonce, folder)


def _identity(path: str | Path) -> list[int]:
    found = os.stat(path)
    return [found.st_dev, found.st_ino]


def _of_machine() -> dict[str, Any]:
    homes = {one.pw_dir for one in pwd.getpwall() if one.pw_dir.startswith(("/home/", "/root"))} | {"/home"}
    folders = "/boot /etc /media /mnt /opt /run /srv /tmp /var /var/lib /var/log".split()
    disk = os.stat("/").st_dev
    return {
        "ns": {kind: os.readlink(f"/proc/self/ns/{kind}") for kind in NAMESPACES},
        "hostname": socket.gethostname(),
        "shadow": hashlib.sha256(Path("/etc/shadow").read_bytes()).hexdigest(),
        "homes": {path: _identity(path) for path in sorted(homes) if os.path.isdir(path)},
        "folders": {path: _identity(path) for path in folders if os.path.isdir(path)},
        "programs": [_identity(path) for path in (sys.executable, *_programs())],
        "pts": os.stat("/dev/pts").st_dev,
        "disk": [os.major(disk), os.minor(disk)],
        "interfaces": [name for _, name in socket.if_nameindex() if name != "lo"],
        "addresses": _addresses(),
    }


def _programs() -> list[str]:
    return [path for name in ("crun", "bwrap", "python3") if (path := shutil.which(name))]


def _addresses() -> list[str]:
    """This machine's own, as seen from outside; a datagram socket sends nothing by connecting."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, contextlib.suppress(OSError):
        one.connect(("192.0.2.1", 9))
        return [one.getsockname()[0]]
    return []


def _listening(folder: Path, nonce: str, after: contextlib.ExitStack) -> dict[str, Any]:
    # Nobody accepts: to connect, the queue is enough.
    control, abstract = str(folder / "control.sock"), nonce
    for address in (control, "\0" + abstract):
        one = after.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        one.bind(address)
        one.listen(128)
    os.chmod(control, 0o777)
    server = after.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    server.bind(("0.0.0.0", 0))
    server.listen(128)
    return {"control": control, "abstract": abstract, "port": server.getsockname()[1]}


def _shared(nonce: str, after: contextlib.ExitStack) -> dict[str, Any]:
    """A segment, a queue and a set of System V, a POSIX queue, a file in /dev/shm; open to all."""
    key = secrets.randbelow(1 << 30) + 1
    mode = 0o1000 | 0o2000 | 0o666  # IPC_CREAT | IPC_EXCL
    segment = call("shmget", key, 4096, mode)
    after.callback(LIBC.shmctl, segment, 0, None)  # IPC_RMID
    LIBC.shmat.restype = ctypes.c_void_p
    where = LIBC.shmat(segment, None, 0)
    ctypes.memmove(where, nonce.encode(), len(nonce))
    LIBC.shmdt(ctypes.c_void_p(where))
    queue = call("msgget", key, mode)
    after.callback(LIBC.msgctl, queue, 0, None)
    semaphores = call("semget", key, 1, mode)
    after.callback(LIBC.semctl, semaphores, 0, 0)
    with contextlib.suppress(OSError):  # a kernel may lack them
        os.close(call("mq_open", nonce.encode(), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666, 0))
        after.callback(LIBC.syscall, {"x86_64": 241, "aarch64": 181}[os.uname().machine], nonce.encode())
    shared = Path("/dev/shm", nonce)
    shared.write_text(nonce)
    after.callback(shared.unlink)
    return {"sysv": key}


def _process(nonce: str, after: contextlib.ExitStack) -> int:
    """One that only waits for the end of its input, in a user namespace of its own, where there may be one."""
    command = [sys.executable, "-c", "import sys; sys.stdin.read()", nonce]

    def before() -> None:
        with contextlib.suppress(OSError):
            call("unshare", CLONE_NEWUSER)

    one = subprocess.Popen(command, stdin=subprocess.PIPE, env={"SECRET": nonce}, preexec_fn=before)  # noqa: PLW1509
    after.callback(one.wait)
    after.callback(lambda: one.stdin and one.stdin.close())
    return one.pid


def _key(nonce: str, after: contextlib.ExitStack) -> int:
    """In root's user keyring, which is everybody's whose kernel uid is 0; the dirty parent makes one more."""
    name, value = nonce.encode(), nonce.encode()
    try:
        serial = call("add_key", b"user", name + b"-user", value, len(value), USER_KEYRING)
    except OSError:
        return 0
    after.callback(lambda: call("keyctl", KEYCTL_UNLINK, serial, USER_KEYRING))
    return serial


def _stage(folder: Path, root: Path) -> Path:
    stage = folder / "stage"
    inside = stage / Path(PROBE).parent
    inside.mkdir(parents=True)
    for name in INSIDE:
        shutil.copy(SOURCE / f"{name}.py", inside)
    (stage / "link-absolute").symlink_to(folder / "canary")
    (stage / "link-relative").symlink_to("../" * 20 + str(folder / "canary").lstrip("/"))
    shutil.copy(root / "usr/bin/id", stage / "set-id")
    os.chown(stage / "set-id", 0, GROUPS[0])
    (stage / "set-id").chmod(0o6755)
    shutil.copy(root / "bin/cat", stage / "file-capabilities")
    (stage / "file-capabilities").chmod(0o755)
    os.setxattr(stage / "file-capabilities", "security.capability", FILE_CAPABILITIES)
    for path in (stage, stage / "tests", inside):
        path.chmod(0o755)
    for name in INSIDE:
        (inside / f"{name}.py").chmod(0o644)
    return stage
