"""How many file descriptors N containers take (RLIMIT_NOFILE, getrlimit(2)): pure but for asking for the limit.

A container has descriptors in both halves for as long as it lives. Where the limit has room, what is needed now and then stays
open too: the namespace of its ids and its service's pidfd in the helper, the files of its cgroup and PID 1's pidfd in
the other half. Where it has not, these are opened for each use, and a thousand containers take three to four thousand.
"""

import resource

#: Of one container, in whichever half has more of them: with all that is useful, and with no more than it takes
#: (two FIFOs, and in the helper PID 1's pidfd, in the other half cgroup.events and memory.events; for some a socket
#: for its notifications).
ALL = 13
LEAST = 5
#: For everything else: launches and probes under way, clients, segments of logs.
_RESERVE = 256
_LOGS = 1024


def limit() -> int:
    """What this process may have open, once it has asked for all that it may (process.open_more_files)."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def for_logs(most: int) -> int:
    return min(_LOGS, most // 16)


def taken(containers: int, each: int, most: int) -> int:
    return containers * each + _RESERVE + for_logs(most)


def scarce(containers: int, most: int) -> bool:
    """Whether there is no room for all that is useful."""
    return taken(containers, ALL, most) > most


def objection(containers: int, notifying: int, most: int, *, memory: bool) -> str:
    """Why so many cannot be supervised, and what to do; "" when they can. `notifying` of them have a socket for
    notifications, `memory`: cgroups have a memory.events.
    """
    least = LEAST - 1 - (not memory)
    wanted = taken(containers, least, most) + notifying
    if wanted <= most:
        return ""
    enough = 1024
    while taken(containers, least, enough) + notifying > enough:
        enough *= 2
    return (
        f"{containers} containers take {wanted} file descriptors, and a process may have {most} here (RLIMIT_NOFILE);\n"
        f"raise the hard limit first (`ulimit -Hn {enough}`, or LimitNOFILE= of its service), or declare fewer"
    )
