"""Order over whole sets of containers: nothing starts before what it depends on is ready, and all that can come up does.

HYPOTHESIS_PROFILE=long takes hundreds of thousands of steps.
"""

import os
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from supervisor.core.events import (
    BecameReady,
    Dependencies,
    Event,
    Exited,
    Launch,
    Launched,
    RestartAsked,
    StartAsked,
    StopAsked,
    TimerFired,
)
from supervisor.core.lifecycle import step
from supervisor.core.machine import LIVE, Machine
from supervisor.core.order import Need, closure, graph, sequence, standing, unmet
from supervisor.core.spec import Container, Depends, Ready, Restart

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
NAMES = ("a", "b", "c", "d")


@st.composite
def fleets(draw: Any) -> tuple[Container, ...]:
    """Containers without circles: each may depend on earlier ones."""
    made: list[Container] = []
    for name in NAMES:
        earlier = [one.name for one in made]
        some = st.lists(st.sampled_from(earlier), unique=True) if earlier else st.just([])
        after, requires = draw(some), draw(some)
        succeeded = [each for each in after if draw(st.booleans())]
        ready = draw(st.none() | st.just(Ready("tcp", "h:1", 5.0)))
        policy = draw(st.sampled_from(["always", "on-failure", "never"]))
        depends = Depends(tuple(after), tuple(requires), tuple(succeeded))
        made.append(
            Container(name, "/", ("x",), service=name, ready=ready, restart=Restart(policy), depends=depends)
        )
    return tuple(draw(st.permutations(made)))


def test_what_is_waited_for_is_told_in_words() -> None:
    def why(machine: Machine, need: Need) -> list[str]:
        return [wait.why for wait in unmet([need], {"db": standing(machine)})]

    assert why(Machine(state="backoff"), Need("db")) == ["is in backoff"]
    assert why(Machine(state="backoff"), Need("db", succeeded=True)) == [
        "has not ended well (it is in backoff)"
    ]
    assert why(Machine(state="stopped"), Need("db")) == ["is stopped"]


class World(RuleBasedStateMachine):
    """What supervise/ does with machines, without tasks: each looks around before each of its steps."""

    @initialize(fleet=fleets())
    def configure(self, fleet: tuple[Container, ...]) -> None:
        self.now = 0.0
        self.graph = graph(fleet)
        self.machines = {one.name: Machine(restart=one.restart, readiness=one.ready) for one in fleet}
        self.alive: dict[str, int] = {}
        for name in sequence(self.machines, self.graph.needs):
            self.tell(name, StartAsked("boot"))

    def missing(self, name: str) -> tuple[Any, ...]:
        standings = {each: standing(machine) for each, machine in self.machines.items()}
        return unmet(self.graph.needs[name], standings)

    def tell(self, name: str, event: Event) -> None:
        self.move(name, Dependencies(self.missing(name)))
        self.move(name, event)
        self.settle()

    def settle(self) -> None:
        """Wake who must know, until nobody has anything new to learn."""
        changed = True
        while changed:
            changed = False
            for name, machine in self.machines.items():
                if (waits := self.missing(name)) != machine.unmet:
                    changed = True
                    self.move(name, Dependencies(waits))

    def move(self, name: str, event: Event) -> None:
        missing = self.missing(name)
        self.machines[name], effects = step(self.machines[name], event, self.now)
        for effect in effects:
            if isinstance(effect, Launch):
                assert not missing, f"{name} was launched before {missing}"
                assert name not in self.alive, "two live runs"
                self.alive[name] = effect.run

    @rule(name=st.sampled_from(NAMES))
    def starts(self, name: str) -> None:
        self.tell(name, StartAsked())

    @rule(name=st.sampled_from(NAMES))
    def is_stopped(self, name: str) -> None:
        self.tell(name, StopAsked())

    @rule(name=st.sampled_from(NAMES))
    def is_restarted(self, name: str) -> None:
        self.tell(name, RestartAsked())

    @rule(name=st.sampled_from(NAMES))
    def is_launched(self, name: str) -> None:
        if self.machines[name].state in {"starting", "stopping"}:
            self.tell(name, Launched(self.machines[name].run, 7))

    @rule(name=st.sampled_from(NAMES))
    def becomes_ready(self, name: str) -> None:
        self.tell(name, BecameReady(self.machines[name].run))

    @rule(name=st.sampled_from(NAMES), code=st.sampled_from([0, 1]))
    def ends(self, name: str, code: int) -> None:
        if self.alive.pop(name, None) is not None:
            self.tell(name, Exited(self.machines[name].run, code))

    @rule(name=st.sampled_from(NAMES))
    def its_timer_fires(self, name: str) -> None:
        if (due := self.machines[name].due) is not None:
            self.now = max(self.now, due)
            self.tell(name, TimerFired(self.machines[name].timer))

    @invariant()
    def what_lives_is_what_was_launched(self) -> None:
        assert set(self.alive) == {name for name, one in self.machines.items() if one.state in LIVE}

    @invariant()
    def nothing_runs_on_without_what_it_requires(self) -> None:
        for name, machine in self.machines.items():
            if machine.state in {"starting", "running"}:
                assert not [wait for wait in self.missing(name) if wait.required]

    @invariant()
    def who_waits_has_something_to_wait_for(self) -> None:
        for name, machine in self.machines.items():
            if machine.state == "waiting":
                assert self.missing(name)


TestOrder = World.TestCase
TestOrder.settings = settings(
    max_examples=4000 if LONG else 60,
    stateful_step_count=60 if LONG else 40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@given(fleets())
def test_a_sequence_has_everybody_once_and_after_what_it_needs(fleet: tuple[Container, ...]) -> None:
    found = graph(fleet)
    order = sequence([one.name for one in fleet], found.needs)
    assert sorted(order) == sorted(NAMES)
    for name in order:
        assert all(order.index(need.name) < order.index(name) for need in found.needs[name])


@given(fleets())
def test_what_goes_down_with_a_container_is_all_that_requires_it_however_far(
    fleet: tuple[Container, ...],
) -> None:
    found = graph(fleet)
    for name in NAMES:
        down = closure([name], found.requirers)
        assert set(found.requirers[name]) <= set(down)
        assert all(set(found.requirers[each]) <= set(down) for each in down)


def test_a_service_stands_for_all_its_replicas() -> None:
    web = Container("web", "/", ("x",), service="web", depends=Depends(after=("db",)))
    db = Container("db.1", "/", ("x",), service="db")
    found = graph((web, db, replace(db, name="db.2")))
    assert [need.name for need in found.needs["web"]] == ["db.1", "db.2"]
