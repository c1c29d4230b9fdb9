"""Whether a container that ended is started again, when, and when it is given up.

Laws:
- policy "never" never restarts; "on-failure" restarts failures; "always" and "unless-stopped"
  restart everything (they differ only when the supervisor itself comes back, see lifecycle).
- A failure is an exit code that is not declared a success, a death by signal or by the kernel's
  OOM killer, an end nobody could explain, a launch that did not get as far as exec, or a run that
  was ended because it was not ready in time, unhealthy, or missed its watchdog.
- What the operator asked for is not decided here: it is no failure and clears the history.
- Delays without jitter never fall and never exceed backoff.max; jitter moves one by at most its
  share. Every restart in a row lengthens the next delay, also one after a success: a service
  that ends at once with 0 under "always" must not spin.
- A run of at least reset_after seconds clears the history before its own end is counted.
"""

from dataclasses import dataclass
from typing import Literal

from supervisor.core.backoff import delay
from supervisor.core.spec import Restart

Verdict = Literal["again", "leave", "give-up"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended after `uptime` seconds; `launched` False when it never began.

    `cause`: why it had to be ended, as "it was unhealthy"; however it then ended, that is a failure.
    """

    uptime: float = 0.0
    code: int | None = None
    signal: int | None = None
    oom: bool = False
    launched: bool = True
    cause: str = ""

    def __str__(self) -> str:
        if self.cause:
            return self.cause
        if not self.launched:
            return "it could not be launched"
        if self.oom:
            return "it ran out of memory"
        if self.signal is not None:
            return f"it was killed by signal {self.signal}"
        return "nobody saw how it ended" if self.code is None else f"exit code {self.code}"


@dataclass(frozen=True, slots=True)
class History:
    """What has happened in a row: restarts, failures among them, and when the latest of these were.

    `times` keeps no more than a limit needs, so that a container may fail for ever in constant space.
    """

    restarts: int = 0
    failures: int = 0
    times: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    history: History
    why: str


def failed(restart: Restart, outcome: Outcome) -> bool:
    return bool(outcome.cause or not outcome.launched or outcome.oom or outcome.code not in restart.success)


def decide(restart: Restart, outcome: Outcome, history: History, now: float) -> Decision:
    lasted = outcome.launched and outcome.uptime >= restart.reset_after
    past = History() if lasted else history
    failure = failed(restart, outcome)
    if failure:
        past = _count(restart, past, now)
    policy = f"policy {restart.policy}: {outcome}"
    if restart.policy == "never" or (restart.policy == "on-failure" and not failure):
        return Decision("leave", past, policy)
    if failure and _over(restart, past):
        return Decision("give-up", past, f"{_spent(restart, past)}; the last: {outcome}")
    return Decision("again", History(past.restarts + 1, past.failures, past.times), policy)


def schedule(restart: Restart, n: int) -> tuple[float, ...]:
    """The first n delays, without jitter, of a container that fails as soon as it starts."""
    delays: list[float] = []
    history, now = History(), 0.0
    while len(delays) < n:
        decision = decide(restart, Outcome(launched=False), history, now)
        if decision.verdict != "again":
            break
        history = decision.history
        delays.append(delay(history.restarts, restart.backoff))
        now += delays[-1]
    return tuple(delays)


def _count(restart: Restart, history: History, now: float) -> History:
    times: tuple[float, ...] = ()
    if restart.limit is not None:
        recent = [time for time in history.times if now - time <= restart.limit.within]
        times = (*recent, now)[-(restart.limit.failures + 1) :]
    return History(history.restarts, history.failures + 1, times)


def _over(restart: Restart, history: History) -> bool:
    return restart.limit is not None and len(history.times) > restart.limit.failures


def _spent(restart: Restart, history: History) -> str:
    assert restart.limit is not None
    limit, within = restart.limit.failures, restart.limit.within
    return f"{len(history.times)} failures within {within:g} s, more than the {limit} it is allowed"
