"""Who is at the other end of a connection, as the kernel says it, and whether they may ask.

Laws: credentials are those the kernel took down when the peer connected (unix(7), SO_PEERCRED,
SO_PEERGROUPS): nothing a client sends can change them, and a PID that is used again is not
asked about. Group 0 alone opens no door: until the configuration names a group, only root may ask.
"""

import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from supervisor.core.operator import Operator

#: asm-generic/socket.h; Python has no name for it.
SO_PEERGROUPS = 59
#: Of a user whom the own user namespace has no number for (/proc/sys/kernel/overflowuid, which nobody changes).
UNKNOWN = 65534
#: As many group ids as Python's getsockopt can bring back (1024 bytes).
MOST_GROUPS = 256


class Socket(Protocol):
    """What a trio socket and a plain one have in common here."""

    def getsockopt(self, level: int, option: int, /, buflen: int) -> bytes: ...


class Peer(NamedTuple):
    """`groups` holds the primary one too; None: more than could be read."""

    uid: int
    pid: int
    groups: frozenset[int] | None


def peer_of(sock: Socket) -> Peer:
    """The credentials of whoever connected."""
    pid, uid, gid = struct.unpack("iII", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, 4 * MOST_GROUPS)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        return Peer(uid, pid, None)
    return Peer(uid, pid, frozenset({gid, *struct.unpack(f"{len(raw) // 4}I", raw)}))


@dataclass(frozen=True, slots=True)
class Operators:
    """Who may ask: the account that started the supervisor, root, and the members of group `gid`.

    `user` is for a supervisor without root, which is uid 0 of a user namespace of its own: that
    account's number outside. Everybody else goes by one and the same number there (UNKNOWN), so
    the socket's mode must decide: it lets only the user in, and root, whom no mode keeps out.
    """

    gid: int | None = None
    own: int = 0
    user: int | None = None

    @property
    def mode(self) -> int:
        """The socket's."""
        return 0o660 if self.user is None else 0o600

    @classmethod
    def here(cls, gid: int | None) -> "Operators":
        """Those of this process; to be called before it takes another account."""
        with open("/proc/self/uid_map", encoding="ascii") as file:
            lines = [[int(word) for word in line.split()] for line in file]
        alone = len(lines) == 1 and lines[0][0] == 0 and lines[0][2] == 1
        return cls(None if alone else gid, os.geteuid(), lines[0][1] if alone else None)

    def why_not(self, peer: Peer) -> str:
        """Why this peer may not ask, for the peer to read; "" if it may."""
        if peer.uid in {0, self.own} or (self.user is not None and peer.uid == UNKNOWN):
            return ""
        if self.gid is None:
            return "only the account that started it may use this supervisor (see group in [supervisor])"
        if peer.groups is None:
            return f"uid {peer.uid} is in more than {MOST_GROUPS} groups, which cannot be checked: use root"
        if self.gid not in peer.groups:
            return f"uid {peer.uid} may not use this supervisor: it is not in group {self.gid}"
        return ""

    def operator(self, peer: Peer) -> Operator:
        """The peer as records name it."""
        uid = peer.uid
        if self.user is not None:
            uid = {0: self.user, UNKNOWN: 0}.get(uid, uid)
        return Operator(uid, peer.pid)
