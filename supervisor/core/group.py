"""Groups of containers that restart together, as OTP's supervisors have it (supervisor(3erl), "Restart Strategy").

Laws:
- one_for_one: only the member that failed is restarted. one_for_all: all others are stopped too, and all start again.
  rest_for_one: those after it in `members` are. Members that rest are left alone.
- Stopped is in reverse order of start, and nothing starts again before all are down and the
  back-off of the one that failed is over.
- More than `limit.failures` failures of members `within` the time, and the whole group has failed.
"""

from dataclasses import dataclass, replace

from supervisor.core.spec import Group


@dataclass(frozen=True, slots=True)
class State:
    """`members` with services replaced by their replicas. `times` are of failures; while it restarts,
    `down` must still come to rest, `culprits` are in back-off, and `held` wait for both.
    """

    group: Group
    members: tuple[str, ...]
    times: tuple[float, ...] = ()
    down: frozenset[str] = frozenset()
    culprits: frozenset[str] = frozenset()
    held: frozenset[str] = frozenset()


def affected(state: State, name: str) -> tuple[str, ...]:
    """The members that are restarted because this one failed, without it."""
    if state.group.strategy == "one_for_one":
        return ()
    others = state.members
    if state.group.strategy == "rest_for_one":
        others = others[others.index(name) + 1 :]
    return tuple(each for each in others if each != name)


def count(state: State, now: float) -> tuple[State, bool]:
    """One more failure of a member; True: that is one too many."""
    limit = state.group.limit
    if limit is None:
        return state, False
    recent = [time for time in state.times if now - time <= limit.within]
    times = (*recent, now)[-(limit.failures + 1) :]
    return replace(state, times=times), len(times) > limit.failures


def begin(state: State, culprit: str, live: frozenset[str]) -> State:
    """It failed: the members that live and are affected go down."""
    down = frozenset(affected(state, culprit)) & live
    if not down:
        return state
    return replace(
        state,
        down=state.down | down,
        culprits=state.culprits | {culprit},
        held=state.held | down | {culprit},
    )


def note(state: State, name: str, *, live: bool, backoff: bool) -> State:
    """A member took a step. Once all are down and no culprit is in back-off, nobody is held any more."""
    down = state.down if live else state.down - {name}
    culprits = state.culprits if backoff else state.culprits - {name}
    held = state.held if down or culprits else frozenset[str]()
    return replace(state, down=down, culprits=culprits, held=held)


def holds(state: State, name: str) -> bool:
    """Whether it must not start yet. A culprit waits for the others to be down, not for itself."""
    return name in state.held and bool(state.down or state.culprits - {name})
