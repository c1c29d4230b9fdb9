"""What the daemon may ask, when it is acted on, and why that is safe.

The daemon is not trusted. It names a container that root declared and a run number that the helper
knows; anything else is denied. Pure: the decision is a function of the request and of the
container's phase.

    launch   starts what root declared, unchanged. Only when nothing of the container lives, and only
             with a run number above the last: so never two at once, and no replay.
    signal   to the service of the named live run, through its pidfd: never a stranger's PID.
    kill     of the container's own cgroup; nothing else is in it.
    remove   of the container's own cgroup and FIFOs, by names that root declared; only at rest.
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
}


def objection(request: Request, phase: str | None, run: int) -> str:
    """Why the request is denied; "" when it is not. `phase` None: no such container is declared."""
    if request.do not in _PHASES:
        return ""
    if phase is None:
        return "no such container is declared"
    if phase not in _PHASES[request.do]:
        return f"the container is {phase}"
    if request.do == "launch" and request.run <= run:
        return f"run {request.run} is not after run {run}"
    if request.do in ("signal", "kill") and request.run != run:
        return f"run {request.run} is not the present one, {run}"
    return ""
