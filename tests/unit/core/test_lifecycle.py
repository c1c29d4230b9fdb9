"""What one container does, case by case. The laws over all cases are in test_lifecycle_laws."""

import errno
from dataclasses import replace
from typing import Any

import pytest

from supervisor.core.events import (
    BecameReady,
    Dependencies,
    Effect,
    Event,
    Exited,
    Kill,
    Launch,
    Launched,
    LaunchFailed,
    Record,
    Remove,
    RestartAsked,
    SetTimer,
    Signal,
    StartAsked,
    StopAsked,
    TimerFired,
    Unready,
    Vanished,
    Wait,
)
from supervisor.core.lifecycle import step
from supervisor.core.machine import Machine
from supervisor.core.restart import History
from supervisor.core.spec import Limit, Ready, Restart, Stop

ALWAYS = Machine(restart=Restart("always"), stop=Stop("SIGINT", 5.0))
NO_FILE = LaunchFailed(1, "exec", errno.ENOENT, "/bin/nope", "the root is empty")


def feed(machine: Machine, *events: Event, now: float = 0.0) -> tuple[Machine, list[Effect]]:
    effects: list[Effect] = []
    for event in events:
        machine, more = step(machine, event, now)
        effects = list(more)
    return machine, effects


def running(machine: Machine = ALWAYS) -> Machine:
    return feed(machine, StartAsked(), Launched(machine.run + 1, 77, 2.5))[0]


def names(effects: list[Effect]) -> list[str]:
    return [effect.event for effect in effects if isinstance(effect, Record)]


def fields(effects: list[Effect], event: str) -> dict[str, Any]:
    (record,) = [effect for effect in effects if isinstance(effect, Record) and effect.event == event]
    return dict(record.fields)


def acts(effects: list[Effect]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Record)]


def test_a_start_launches_the_next_run_and_a_launch_makes_it_run() -> None:
    machine, effects = feed(ALWAYS, StartAsked())
    assert (machine.state, acts(effects)) == ("starting", [Launch(1)])
    machine, effects = feed(machine, Launched(1, 77, 2.5))
    assert (machine.state, machine.pid) == ("running", 77)
    assert fields(effects, "container.started") == {"pid": 77, "launch_ms": 2.5}


def test_a_start_of_what_runs_does_nothing() -> None:
    assert feed(running(), StartAsked()) == (running(), [])


def test_a_crash_is_recorded_and_restarted_after_the_backoff() -> None:
    machine, effects = feed(running(), Exited(1, code=1, cpu={"usage_usec": 5}), now=2.0)
    assert machine.state == "backoff"
    assert fields(effects, "container.exited") == {
        "code": 1,
        "signal": None,
        "core": False,
        "oom": False,
        "reason": "exit",
        "uptime_s": 2.0,
        "cpu": {"usage_usec": 5},
        "decision": "restarted: policy always: exit code 1",
    }
    assert fields(effects, "container.backoff") == {
        "delay_s": 0.1,
        "failures": 1,
        "why": "policy always: exit code 1",
    }
    assert acts(effects) == [SetTimer(1, 0.1)]
    machine, effects = feed(machine, TimerFired(1), now=2.1)
    assert (machine.state, machine.restarts, acts(effects)) == ("starting", 1, [Launch(2)])


@pytest.mark.parametrize(
    ("exited", "reason"),
    [
        (Exited(1, code=3), "exit"),
        (Exited(1, signal=11), "signal"),
        (Exited(1, signal=9, oom=True), "oom"),
        (Exited(1), "unknown"),
    ],
)
def test_an_exit_says_why_it_ended(exited: Exited, reason: str) -> None:
    assert fields(feed(running(), exited)[1], "container.exited")["reason"] == reason


@pytest.mark.parametrize(
    ("by", "reason"),
    [("operator", "operator"), ("supervisor", "supervisor"), ("supervisor-now", "supervisor")],
)
def test_an_exit_that_was_asked_for_says_by_whom_also_when_memory_ran_out(by: str, reason: str) -> None:
    machine, effects = feed(running(), StopAsked(by), Exited(1, signal=9, oom=True))
    assert fields(effects, "container.exited")["reason"] == reason
    assert machine.last is not None
    assert (machine.state, machine.last.reason) == ("stopped", reason)


def test_a_success_under_on_failure_is_left_and_removed() -> None:
    machine, effects = feed(running(Machine()), Exited(1, code=0))
    assert (machine.state, names(effects), acts(effects)) == ("exited", ["container.exited"], [Remove()])


def test_a_stop_signals_then_kills_when_the_time_is_over() -> None:
    machine, effects = feed(running(), StopAsked())
    assert acts(effects) == [Signal(1, "SIGINT"), SetTimer(1, 5.0)]
    machine, effects = feed(machine, TimerFired(1))
    assert acts(effects) == [Kill(1), SetTimer(2, 5.0)]
    assert fields(effects, "container.killing") == {"reason": "it did not end within 5 s of SIGINT"}
    machine, effects = feed(machine, Exited(1, signal=9))
    assert (machine.state, acts(effects)) == ("stopped", [Remove()])


def test_a_second_stop_changes_nothing_but_the_supervisor_may_insist() -> None:
    stopping = feed(running(), StopAsked())[0]
    assert feed(stopping, StopAsked()) == (stopping, [])
    assert acts(feed(stopping, StopAsked("supervisor-now"))[1]) == [Kill(1), SetTimer(2, 5.0)]


def test_a_stop_during_the_launch_kills_and_ends_stopped_however_the_launch_went() -> None:
    machine, effects = feed(ALWAYS, StartAsked(), StopAsked())
    assert acts(effects) == [Kill(1), SetTimer(1, 5.0)]
    assert feed(machine, LaunchFailed(1, "mount", 4))[0].state == "stopped"
    assert feed(machine, Exited(1, signal=9))[0].state == "stopped"
    late, effects = feed(machine, Launched(1, 77))
    assert (late.state, acts(effects)) == ("stopping", [Kill(1)])


def test_a_stop_in_backoff_stops_at_once() -> None:
    machine, effects = feed(running(), Exited(1, code=1), StopAsked())
    assert (machine.state, names(effects), acts(effects)) == ("stopped", ["container.stopped"], [Remove()])
    assert feed(machine, TimerFired(machine.timer)) == (machine, [])


def test_a_launch_told_twice_while_stopping_is_no_news() -> None:
    stopping = feed(running(), StopAsked())[0]
    assert feed(stopping, Launched(1, 77)) == (stopping, [])


def test_a_kill_is_repeated_no_faster_than_once_a_second() -> None:
    hasty = ALWAYS._replace(stop=Stop("SIGTERM", 0.0))
    assert acts(feed(hasty, StartAsked(), StopAsked())[1]) == [Kill(1), SetTimer(1, 1.0)]
    assert acts(feed(running(hasty), StopAsked(), TimerFired(1))[1]) == [Kill(1), SetTimer(2, 1.0)]


def test_a_start_in_backoff_launches_at_once_and_clears_the_history() -> None:
    machine, effects = feed(running(), Exited(1, code=1), StartAsked())
    assert (machine.history, machine.restarts, acts(effects)) == (History(), 0, [Launch(2)])


def test_a_restart_stops_then_launches_without_counting_a_failure_and_clears_the_history() -> None:
    crashed = running()._replace(history=History(4, 4, ()))
    machine, effects = feed(crashed, RestartAsked())
    assert acts(effects) == [Signal(1, "SIGINT"), SetTimer(1, 5.0)]
    machine, effects = feed(machine, Exited(1, signal=2))
    assert names(effects) == ["container.exited", "container.starting"]
    assert fields(effects, "container.starting") == {"why": "asked by operator"}
    assert (machine.state, machine.restarts, machine.history) == ("starting", 0, History())
    assert acts(effects) == [Launch(2)]


@pytest.mark.parametrize("state", ["waiting", "backoff", "exited", "failed", "stopped"])
def test_a_restart_of_what_does_not_run_launches_at_once(state: Any) -> None:
    machine, effects = feed(ALWAYS._replace(state=state, run=4, due=9.0, timer=1), RestartAsked())
    assert (machine.state, acts(effects), machine.due) == ("starting", [Launch(5)], None)


def test_the_latest_wish_wins_while_a_run_is_ending() -> None:
    stopping = feed(running(), StopAsked())[0]
    assert feed(stopping, StartAsked(), Exited(1, code=0))[0].state == "starting"
    assert feed(stopping, RestartAsked(), StopAsked(), Exited(1, code=0))[0].state == "stopped"


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EACCES, errno.ENOEXEC])
def test_a_program_that_cannot_be_executed_fails_at_once(code: int) -> None:
    machine, effects = feed(ALWAYS, StartAsked(), replace(NO_FILE, errno=code))
    assert machine.state == "failed"
    told = fields(effects, "container.launch_failed")
    assert (told["stage"], told["errno"], told["path"]) == ("exec", code, "/bin/nope")
    why = f"cannot be launched: exec /bin/nope {errno.errorcode[code]} (the root is empty)"
    assert fields(effects, "container.failed") == {"reason": why}
    assert (machine.reason, acts(effects)) == (why, [Remove()])


def test_a_refused_launch_fails_at_once() -> None:
    assert feed(ALWAYS, StartAsked(), LaunchFailed(1, "refused", 0))[0].state == "failed"


def test_another_failed_launch_is_retried_by_policy_and_under_never_it_fails() -> None:
    trouble = LaunchFailed(1, "cgroup", errno.EBUSY, "/sys/fs/cgroup/web")
    machine, effects = feed(ALWAYS, StartAsked(), trouble)
    assert names(effects) == ["container.launch_failed", "container.backoff"]
    assert machine.state == "backoff"
    machine, _ = feed(Machine(restart=Restart("never")), StartAsked(), trouble)
    assert (machine.state, machine.reason) == (
        "failed",
        "cannot be launched: cgroup /sys/fs/cgroup/web EBUSY",
    )


def test_a_container_that_keeps_failing_is_given_up() -> None:
    machine = running(Machine(restart=Restart("always", limit=Limit(1, 60.0))))
    machine, _ = feed(machine, Exited(1, code=1), TimerFired(1), Launched(2, 78))
    machine, effects = feed(machine, Exited(2, code=1))
    assert (machine.state, acts(effects)) == ("failed", [Remove()])
    assert names(effects) == ["container.exited", "container.failed"]


def test_what_the_helper_no_longer_knows_is_launched_again_or_ended() -> None:
    starting = feed(ALWAYS, StartAsked())[0]
    assert acts(feed(starting, Vanished(1))[1]) == [Launch(1)]
    assert feed(running(), Vanished(1))[0].state == "backoff"
    assert feed(running(), StopAsked(), Vanished(1))[0].state == "stopped"


def test_a_taken_over_run_is_recorded_as_adopted_and_a_stop_under_way_is_repeated() -> None:
    again = Launched(1, 77, adopted=True)
    machine, effects = feed(running(), again)
    assert (machine, names(effects)) == (running(), ["container.adopted"])
    _, effects = feed(running(), StopAsked(), again)
    assert acts(effects) == [Signal(1, "SIGINT")]


def test_a_boot_starts_only_what_was_never_started_or_was_stopped_with_the_supervisor() -> None:
    boot = StartAsked("boot")
    assert feed(ALWAYS, boot)[0].state == "starting"
    for events in ([StopAsked()], [Exited(1, code=1)]):
        settled = feed(running(), *events)[0]
        assert feed(settled, boot) == (settled, [])
    closed = feed(running(), StopAsked("supervisor"), Exited(1, signal=15))[0]
    assert feed(closed, boot)[0].state == "starting"
    done = feed(running(Machine()), Exited(1, code=0), StopAsked("supervisor"))[0]
    assert (done.state, feed(done, boot)[0].state) == ("exited", "starting")


@pytest.mark.parametrize(("policy", "state"), [("always", "starting"), ("unless-stopped", "stopped")])
def test_unless_stopped_alone_outlasts_the_supervisor(policy: Any, state: str) -> None:
    machine = running(Machine(restart=Restart(policy)))
    machine, _ = feed(machine, StopAsked(), Exited(1, signal=15), StopAsked("supervisor"), StartAsked("boot"))
    assert machine.state == state


def test_a_launch_that_was_lost_is_asked_for_again_only_when_nothing_stands_in_the_way() -> None:
    machine, _ = feed(ALWAYS, StartAsked())
    machine, effects = feed(machine._replace(unmet=(Wait("db", "is not ready yet"),)), Vanished(1))
    assert (machine.state, names(effects), acts(effects)) == ("waiting", ["container.waiting"], [Remove()])
    assert acts(feed(machine, Dependencies(()))[1]) == [Launch(1)]


@pytest.mark.parametrize(
    ("readiness", "why"),
    [
        (Ready("tcp", "127.0.0.1:1", timeout=3.0), ": no connection"),
        (Ready("http", "http://127.0.0.1:1/", timeout=3.0), ": no answer"),
        (Ready("exec", ("true",), timeout=3.0), ": the command had not ended"),
        (Ready("log", "READY", timeout=3.0), ""),
    ],
)
def test_a_readiness_probe_that_was_never_over_is_what_was_missing(readiness: Ready, why: str) -> None:
    machine = running(Machine(readiness=readiness))
    _, effects = feed(machine, TimerFired(machine.timer))
    assert fields(effects, "container.stopping")["why"] == f"not ready in time (3 s){why}"


def test_what_is_not_ready_yet_says_why_and_is_ended_with_the_last_reason() -> None:
    waiting = running(Machine(readiness=Ready("tcp", "127.0.0.1:1", timeout=3.0)))
    machine, effects = feed(waiting, Unready(1, "answered 503"), Unready(1, "refused"))
    assert (machine.reason, effects) == ("not ready yet: refused", [])
    assert feed(machine, BecameReady(1))[0].reason == ""
    ended, effects = feed(machine, TimerFired(machine.timer))
    assert ended.state == "stopping"
    assert fields(effects, "container.stopping")["why"] == "not ready in time (3 s): refused"
