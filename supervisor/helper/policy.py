"""What the daemon may ask, when it is acted on, and why that is safe.

The daemon is not trusted. It names a container that root declared and a run number that the helper
knows; anything else is denied. Pure: the decision is a function of the request and of the
container's phase.

    launch   starts what root declared, unchanged. Only when nothing of the container lives, and only
             with a run number above the last: so never two at once, and no replay.
    signal   to the service of the named live run, through its pidfd: never a stranger's PID.
    kill     of the container's own cgroup; nothing else is in it.
    remove   of the container's own cgroup and FIFOs, by names that root declared; only at rest.
    probe    of the named live run: what root declared for it, "ready" or "health", is made in the container with
             its confinement, one at a time of each kind; "notify" gives the socket where its sd_notify words
             come. The daemon adds no word to a probe, and learns how it ended.
    reload   has root's own files read again, by a fresh process of root's, from the path that `start` was
             given: the daemon names nothing, and what it says is not part of what is declared. One at a
             time. Whoever asks in vain costs the time of a parse; whoever may use the socket may ask,
             because all that follows is what root has written down.
    notify   one of three fixed words to the service manager that started us.
    exit     ends every container and the helper: the daemon may stop what it may start.
"""

from supervisor.helper.protocol import Request

IDLE, LAUNCHING, LIVE, ENDING = "idle", "launching", "live", "ending"

#: Requests about one container → the phases in which they are acted on.
_PHASES = {
    "launch": (IDLE,),
    "signal": (LIVE,),
    "kill": (LAUNCHING, LIVE, ENDING),
    "remove": (IDLE,),
    "probe": (LIVE,),
}


def objection(request: Request, phase: str | None, run: int, retired: bool = False) -> str:
    """Why the request is denied; "" when it is not. `phase` None: no such container is declared; `retired`: it
    was until a reload, and is there until it has ended and been removed.
    """
    if request.do not in _PHASES:
        return ""
    if phase is None or (retired and request.do == "launch"):
        return "no such container is declared"
    if phase not in _PHASES[request.do]:
        return f"the container is {phase}"
    if request.do == "launch" and request.run <= run:
        return f"run {request.run} is not after run {run}"
    if request.do in ("signal", "kill", "probe") and request.run != run:
        return f"run {request.run} is not the present one, {run}"
    return ""
