"""Who asked for a change, as it is recorded with it."""

from typing import NamedTuple


class Operator(NamedTuple):
    """The process at the other end of the socket: its user and its PID when it connected (unix(7), SO_PEERCRED).

    `pid` is 0 where the process has none in the supervisor's PID namespace.
    """

    uid: int
    pid: int
