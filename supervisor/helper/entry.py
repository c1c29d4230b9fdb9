"""The operations by which a command enters a container that lives, where hostile programs are waiting for it.

They are functions, in a forked child of the helper, undumpable until its execve. What it opens in there
is opened either as whoever the command will be, or by openat2 without following links, and is looked
at before it is used. Nothing of the operator's comes in: no descriptor, terminal or variable but TERM.
"""

import errno
import fcntl
import os
import socket
import stat
import struct
import termios
from array import array

from supervisor.errors import KernelError
from supervisor.helper.protocol import Report, encode_report
from supervisor.helper.slots import GROUPS, HOST, OTHER
from supervisor.kernel import calls, namespaces
from supervisor.kernel.program import run, slots

_ROOM = 1 << 13  # words behind the last named slot: for a path, or all groups that a command may have
_PTMX = "/dev/pts/ptmx"
_PTMX_NUMBER = os.makedev(5, 2)
# asm-generic/ioctls.h; Python has no name for the second.
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441


class Entrance:
    """`process` is the pidfd of one whose namespaces are entered, `connection` leads to the operator,
    `ends` are the command's own ends of its three pipes, `heard` the other end where the waiter reads.
    """

    def __init__(self, process: int, connection: int, ids: int) -> None:
        self.process = process
        self.connection = connection
        self.ids = ids
        self.slots = slots(GROUPS + _ROOM)
        self.ends: tuple[int, ...] = ()
        self.heard = -1


def owner(ids: int, container_id: int) -> int:
    """The host's number for an id of the container."""
    return container_id if ids < 0 else ids + container_id


def setns(work: Entrance, names: tuple[str, ...]) -> None:
    """The PID namespace, too, at once: but it takes effect for our child only, the last thing to be seen."""
    namespaces.join_those_of(work.process, names)


def pipes(work: Entrance) -> None:
    """New ones, instead of the operator's own stdin, stdout and stderr: through /proc/self/fd a file can be
    opened again for more than it was given for, a folder leads into the host's tree, a socket into its
    network, and a terminal can be read by whoever stays behind.
    """
    inward, outward, errors = (os.pipe2(os.O_CLOEXEC) for _ in range(3))
    work.ends = (inward[0], outward[1], errors[1])
    _hand_over(work, (inward[1], outward[0], errors[0]))


def own_pipe(work: Entrance) -> None:
    """For a probe: an empty stdin, and one pipe for all that it says, whose other end the waiter keeps."""
    inward, outward = (os.pipe2(os.O_CLOEXEC) for _ in range(2))
    os.close(inward[1])
    work.ends = (inward[0], outward[1], os.dup(outward[1]))
    work.heard = outward[0]


def _hand_over(work: Entrance, descriptors: tuple[int, ...]) -> None:
    """To the operator; here they are closed."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=os.dup(work.connection)) as operator:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", descriptors))
        operator.sendmsg([encode_report(Report("streams"))], [rights])
    for descriptor in descriptors:
        os.close(descriptor)


def own_session(_work: Entrance) -> None:
    """As a service's, but for stdin: /dev/null may be anything by now."""
    os.setsid()
    os.umask(0o022)


def streams(work: Entrance, uid: int) -> None:
    """The command owns its pipes, so that it can open /dev/stdout again."""
    for number, end in enumerate(work.ends):
        os.fchown(end, owner(work.ids, uid), -1)
        os.dup2(end, number)
        os.close(end)


def terminal(work: Entrance, rows: int, cols: int) -> None:
    """A new terminal of the container's own devpts is the command's; its other side is the operator's.

    Safe in a hostile /dev: as the command's user nothing can be opened that the container could not
    open itself, nothing waits, and the kernel, not a path, leads from one side to the other (CVE-2025-52565).
    """
    work.slots[HOST] = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK
    run((calls.resolve(HOST, _PTMX, flags, keep=OTHER, links=False),), work.slots)
    os.close(work.slots[HOST])
    ours = work.slots[OTHER]
    seen = os.fstat(ours)
    if not stat.S_ISCHR(seen.st_mode) or seen.st_rdev != _PTMX_NUMBER:
        raise KernelError("terminal", errno.ENODEV, _PTMX)
    fcntl.ioctl(ours, _TIOCSPTLCK, struct.pack("i", 0))
    theirs = fcntl.ioctl(ours, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    if os.fstat(theirs).st_dev != seen.st_dev:  # ptmx was no file of a devpts, but a device node beside one
        raise KernelError("terminal", errno.ENODEV, _PTMX)
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", rows, cols, 0, 0))
    fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    for number in range(3):
        os.dup2(theirs, number)
    os.close(theirs)
    _hand_over(work, (ours,))
