"""What goes on in a runtime directory without a supervisor: containers outlive both of its halves.

Law: for whoever may not read it there is nothing.
"""

import os
import socket
import struct

from supervisor.api.address import reachable
from supervisor.helper import notes

_CREDENTIALS = struct.Struct("3i")


def still_run(runtime_dir: str) -> int:
    """How many containers run on without a helper, by the notes of the last one."""
    try:
        names = os.listdir(f"{runtime_dir}/containers")
    except OSError:
        return 0
    count = sum(_lives(f"{runtime_dir}/containers/{name}") for name in names)
    return 0 if count and has_helper(runtime_dir) else count


def _lives(folder: str) -> bool:
    try:
        note = notes.read(folder)
    except OSError:
        return False
    return note is not None and note.init_start > 0 and notes.start_time(note.init) == note.init_start


def has_helper(runtime_dir: str) -> bool:
    """Whether who listens at exec.sock lives: the kernel says who that was when it began to (SO_PEERCRED, unix(7))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        try:
            client.setblocking(False)
            with reachable(f"{runtime_dir}/exec.sock") as address:
                client.connect(address)
            pid, _, _ = _CREDENTIALS.unpack(
                client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            with open(f"/proc/{pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[0] not in {b"Z", b"X"}
        except OSError:
            return False
