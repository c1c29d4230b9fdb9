"""How much one client may cost, and how long it may keep us waiting.

Laws: what a client can make the server hold is bounded by numbers that stand here; values,
nothing else, so that a test may choose smaller ones.
"""

from dataclasses import dataclass

#: Bytes of a request line with all headers, and how many headers there may be.
HEAD = 16 * 1024
HEADERS = 64
#: Bytes of a request's body, and seconds until the whole of it must be there.
BODY, BODY_SECONDS = 64 * 1024, 10.0
#: Bytes read at a time. With what h11 keeps of an unfinished head a connection holds at most twice HEAD.
READ = HEAD
#: Connections that wait to be accepted; the kernel takes no more than net.core.somaxconn.
BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Connections, and seconds.

    `everybody`: connections of all users but root, whom nobody may keep out; `each`: of one user.
    `head`: for a whole request line with its headers, also until the next request begins. `unread`: for the peer to take one piece of an answer; it is long
    because a pager that stands still is no attack, and who needs the room takes it sooner.
    """

    everybody: int = 256
    each: int = 128
    head: float = 15.0
    unread: float = 600.0


LIMITS = Limits()
