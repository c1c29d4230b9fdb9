"""The laws of the lifecycle, over thousands of steps against a model of what really lives.

HYPOTHESIS_PROFILE=long takes hundreds of thousands of steps.
"""

import json
import os
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from supervisor.core.backoff import Backoff
from supervisor.core.events import (
    BecameReady,
    Dependencies,
    Event,
    Exited,
    Extended,
    GivenUp,
    Held,
    Kill,
    Launch,
    Launched,
    LaunchFailed,
    Probed,
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
    WatchdogMissed,
)
from supervisor.core.lifecycle import TABLE, step
from supervisor.core.machine import ANNOUNCED, LIVE, Machine, restore, resume, snapshot
from supervisor.core.spec import Container, Health, Limit, Ready, Restart, Stop

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"

restarts = st.builds(
    Restart,
    policy=st.sampled_from(["always", "on-failure", "unless-stopped", "never"]),
    success=st.sampled_from([(0,), (0, 3)]),
    backoff=st.just(Backoff()),
    reset_after=st.sampled_from([0.0, 10.0]),
    limit=st.none() | st.builds(Limit, st.integers(1, 4), st.just(60.0)),
)
readiness = st.none() | st.builds(Ready, st.sampled_from(["tcp", "notify"]), st.just("a:1"), st.just(3.0))
health = st.none() | st.builds(
    Health,
    st.just("tcp"),
    st.just("a:1"),
    retries=st.integers(1, 3),
    start_period=st.sampled_from([0.0, 4.0]),
    action=st.sampled_from(["restart", "none"]),
)
waits = st.lists(
    st.builds(Wait, st.sampled_from(["db", "mq"]), st.just("is not ready yet"), st.booleans(), st.booleans()),
    max_size=2,
    unique_by=lambda wait: wait.name,
)
unit = st.floats(0, 1, exclude_max=True)
askers = st.sampled_from(["operator", "supervisor", "supervisor-now"])
boots = st.sampled_from(["operator", "operator", "boot"])


class World(RuleBasedStateMachine):
    """`launching` and `alive` are the runs that the helper was asked for, and that live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.machine = Machine()
        self.launching: set[int] = set()
        self.alive: set[int] = set()
        self.latest = 0
        self.held = False
        self.timer: tuple[int, float] | None = None

    @initialize(restart=restarts, ready=readiness, health=health)
    def configure(self, restart: Restart, ready: Ready | None, health: Health | None) -> None:
        self.machine = Machine(restart, Stop("SIGTERM", 10.0), readiness=ready, health=health)

    def tell(self, event: Event, u: float = 0.5) -> None:
        before = self.machine
        self.machine, effects = step(before, event, self.now, u)
        records = [effect.event for effect in effects if isinstance(effect, Record)]
        if self.machine.state != before.state or any(isinstance(effect, Launch) for effect in effects):
            announced = {ANNOUNCED[self.machine.state]}
            if isinstance(event, Launched) and event.adopted:
                announced = {"container.adopted"}
            assert sum(record in announced for record in records) == 1, (before.state, event, records)
            assert self.machine.state in TABLE[before.state][type(event)].to
        assert len(records) == len(set(records)) <= 2
        for effect in effects:
            self.obey(effect)
        rests = self.machine.state in {"waiting", "exited", "failed", "stopped"}
        came_to_rest = rests and (before.state in LIVE or before.state == "backoff")
        assert effects.count(Remove()) == int(came_to_rest)

    def obey(self, effect: Any) -> None:
        match effect:
            case Launch(run):
                assert not self.alive, "two live runs"
                assert not self.launching, "two launches"
                assert not self.held, "launched after a stop"
                assert not self.machine.unmet, "launched before what it depends on"
                assert run == self.latest + 1, "run numbers follow one another"
                self.launching, self.latest = {run}, run
            case Signal(run, _) | Kill(run):
                assert run in self.launching | self.alive, "nobody to signal"
            case SetTimer(serial, delay):
                assert delay >= 0
                self.timer = (serial, self.now + delay)

    # ── asked ──

    @rule(by=boots)
    def start(self, by: str) -> None:
        if by == "operator" or self.machine.closed:
            self.held = False
        self.tell(StartAsked(by))

    @rule(by=askers)
    def stop(self, by: str) -> None:
        self.held = True
        self.tell(StopAsked(by))
        assert self.machine.state not in {"waiting", "starting", "running", "backoff"}

    @rule(unmet=waits)
    def what_it_depends_on_changes(self, unmet: list[Wait]) -> None:
        running = self.machine.state in {"starting", "running"}
        self.tell(Dependencies(tuple(unmet)))
        assert self.machine.unmet == tuple(unmet)
        if running and any(wait.required for wait in unmet):
            assert self.machine.state == "stopping"

    @rule()
    def its_group_fails(self) -> None:
        self.held = self.held or self.machine.state not in {"exited", "failed", "stopped"}
        self.tell(GivenUp("group app: 3 failures"))
        assert self.machine.state in {"stopping", "exited", "failed", "stopped"}

    @precondition(lambda self: self.machine.state == "backoff")
    @rule(delay=st.sampled_from([0.0, 0.5]))
    def the_brake_holds_it(self, delay: float) -> None:
        self.tell(Held(delay))
        assert self.machine.state == "backoff"

    @rule()
    def restart(self) -> None:
        self.held = False
        self.tell(RestartAsked())

    # ── what really happens ──

    @precondition(lambda self: self.launching)
    @rule(adopted=st.booleans())
    def launched(self, adopted: bool) -> None:
        self.alive, self.launching = self.launching, set()
        self.tell(Launched(self.latest, 100 + self.latest, 1.0, adopted))

    @rule(ok=st.booleans())
    def probed(self, ok: bool) -> None:
        before = self.machine
        self.tell(Probed(before.run, ok, "refused"))
        if self.machine.state != before.state:
            assert not ok
            assert before.ready
            assert before.health is not None
            assert before.failing + 1 == before.health.retries
            assert before.started_at is not None
            assert self.now - before.started_at >= before.health.start_period

    @rule()
    def says_that_it_is_ready(self) -> None:
        self.tell(BecameReady(self.machine.run))

    @rule(why=st.sampled_from(["refused", "answered 503"]))
    def is_not_ready_yet(self, why: str) -> None:
        before = self.machine
        self.tell(Unready(before.run, why))
        assert (self.machine.state, self.machine.ready) == (before.state, before.ready)
        assert not before.ready or self.machine == before

    @rule()
    def misses_its_watchdog(self) -> None:
        self.tell(WatchdogMissed(self.machine.run, 2.0))

    @rule(seconds=st.sampled_from([0.0, 9.0]))
    def asks_for_time(self, seconds: float) -> None:
        self.tell(Extended(self.machine.run, seconds))

    @precondition(lambda self: self.launching)
    @rule(
        stage=st.sampled_from(["exec", "mount", "helper", "refused"]), errno=st.sampled_from([2, 16]), u=unit
    )
    def launch_failed(self, stage: str, errno: int, u: float) -> None:
        self.launching = set()
        self.tell(LaunchFailed(self.latest, stage, errno), u)

    @precondition(lambda self: self.alive or self.launching)
    @rule(
        end=st.sampled_from([(0, None), (1, None), (3, None), (None, 9), (None, None)]),
        oom=st.booleans(),
        u=unit,
    )
    def exited(self, end: tuple[int | None, int | None], oom: bool, u: float) -> None:
        self.alive, self.launching = set(), set()
        self.tell(Exited(self.latest, *end, oom), u)

    @precondition(lambda self: self.machine.state in LIVE)
    @rule()
    def vanished(self) -> None:
        if self.machine.state == "starting":
            self.latest -= 1  # it never came to be, so the same number may be asked for again
        self.alive, self.launching = set(), set()
        self.tell(Vanished(self.machine.run))

    @precondition(lambda self: self.timer is not None)
    @rule()
    def timer_fires(self) -> None:
        assert self.timer is not None
        serial, due = self.timer
        self.timer, self.now = None, max(self.now, due)
        self.tell(TimerFired(serial))

    @rule(seconds=st.sampled_from([0.01, 5.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    # ── noise ──

    @rule(run=st.integers(-1, 40), kind=st.integers(0, 3))
    def another_run_is_heard_of(self, run: int, kind: int) -> None:
        if run == self.machine.run:
            return
        noise: list[Event] = [Launched(run, 1), LaunchFailed(run, "exec", 2), Exited(run, 0), Vanished(run)]
        assert step(self.machine, noise[kind], self.now) == (self.machine, ())

    @rule(back=st.integers(1, 5))
    def a_replaced_timer_fires(self, back: int) -> None:
        assert step(self.machine, TimerFired(self.machine.timer - back), self.now) == (self.machine, ())

    @rule(shift=st.sampled_from([0.0, 4096.0]))
    def the_supervisor_is_killed_and_comes_back(self, shift: float) -> None:
        data = json.loads(json.dumps(snapshot(self.machine, self.now)))
        self.now += shift
        spec = Container(
            "a",
            "/",
            ("x",),
            restart=self.machine.restart,
            stop=self.machine.stop,
            ready=self.machine.readiness,
            health=self.machine.health,
        )
        back = restore(spec, data, self.now)
        if not shift:
            again = json.loads(json.dumps(snapshot(back, self.now)))
            assert {**again, "history": 0, "due_in": 0, "age": 0} == {
                **data,
                "history": 0,
                "due_in": 0,
                "age": 0,
            }
        self.machine, self.timer = back._replace(unmet=self.machine.unmet), None
        for effect in resume(back, self.now):
            self.obey(effect)

    # ── always ──

    @invariant()
    def the_machine_is_live_exactly_while_something_lives(self) -> None:
        assert (self.machine.state in LIVE) == bool(self.alive or self.launching)

    @invariant()
    def what_nothing_else_wakes_has_a_timer(self) -> None:
        unready = self.machine.state == "running" and not self.machine.ready
        assert (self.machine.due is not None) == (unready or self.machine.state in {"backoff", "stopping"})

    @invariant()
    def only_what_runs_is_ready_or_healthy(self) -> None:
        if self.machine.state not in {"running", "stopping"}:
            assert not self.machine.ready
            assert self.machine.healthy is None

    @invariant()
    def it_waits_only_for_something(self) -> None:
        if self.machine.state == "waiting" and self.machine.by:
            assert self.machine.unmet

    @invariant()
    def what_runs_has_a_pid_and_a_beginning(self) -> None:
        if self.machine.state == "running":
            assert self.machine.pid is not None
            assert self.machine.started_at is not None
        if self.machine.state not in LIVE:
            assert self.machine.pid is self.machine.started_at is None


TestLaws = World.TestCase
TestLaws.settings = settings(
    max_examples=4000 if LONG else 100,
    stateful_step_count=120 if LONG else 50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
