"""A group restarts as its strategy says, and fails when its members have failed too often."""

from typing import TYPE_CHECKING

import pytest
import trio.testing

from supervisor.core.spec import Container, Depends, Group, Limit
from supervisor.supervise.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.supervise.conftest import Host, Stage

    Make = Callable[..., Container]


def runs(fleet: Fleet) -> dict[str, int]:
    return {one["name"]: one["run"] for one in fleet.status() if one["state"] == "running"}


@pytest.mark.parametrize(
    ("strategy", "again", "stopped"),
    [
        ("one_for_one", {"a": 1, "b": 2, "c": 1}, []),
        ("one_for_all", {"a": 2, "b": 2, "c": 2}, ["c", "a"]),
        ("rest_for_one", {"a": 1, "b": 2, "c": 2}, ["c"]),
    ],
)
def test_a_failure_restarts_those_that_the_strategy_names(
    stage: "Stage", make: "Make", strategy: str, again: dict[str, int], stopped: list[str]
) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        host.end("b", code=1)
        await host.seen("container.started", 4 + len(stopped))
        await trio.testing.wait_all_tasks_blocked()
        assert runs(fleet) == again
        assert [call.split()[1] for call in host.did("signal")] == stopped
        assert [record["because"] for record in host.of("group.restarting")] == ["b"] * bool(stopped)
        reasons = {one["name"]: one["exit"]["reason"] for one in fleet.status() if one["exit"]}
        assert reasons == {"b": "exit", **dict.fromkeys(stopped, "group")}

    group = Group("app", ("a", "b", "c"), strategy)  # type: ignore[arg-type]
    stage.play(main, make("a"), make("b"), make("c"), groups=(group,))


def test_nothing_starts_again_before_all_are_down(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        host.deaf = True
        host.end("b", code=1)
        await host.seen("container.waiting", 1)  # b, whose back-off is over: a and c still live
        assert sorted(host.alive) == ["a", "c"]
        await host.seen("container.started", 6)
        launches = host.did("launch")[3:]
        assert sorted(launches) == ["launch a 2", "launch b 2", "launch c 2"]
        assert host.calls.index("launch a 2") > host.calls.index("kill a 1")

    stage.play(main, make("a"), make("b"), make("c"), groups=(Group("app", ("a", "b", "c"), "one_for_all"),))


def test_a_member_that_was_stopped_stays_stopped(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        await fleet.stop("a")
        host.end("b", code=1)
        await host.seen("container.started", 3)
        await trio.testing.wait_all_tasks_blocked()
        assert runs(fleet) == {"b": 2}

    stage.play(main, make("a"), make("b"), groups=(Group("app", ("a", "b"), "one_for_all"),))


def test_members_that_depend_on_each_other_stop_and_start_in_that_order(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        host.calls.clear()
        host.end("worker", code=1)
        await host.seen("container.started", 6)
        assert [call.split()[1] for call in host.did("signal")] == ["web", "db"]
        assert host.did("launch").index("launch db 2") < host.did("launch").index("launch web 2")

    web = make("web", depends=Depends(after=("db",)))
    group = Group("app", ("web", "db", "worker"), "one_for_all")
    stage.play(main, web, make("db"), make("worker"), groups=(group,))


def test_past_its_limit_the_group_has_failed_and_its_members_with_it(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        told: list[str] = []
        fleet.groups.escalate = told.append
        await fleet.boot()
        await fleet.settled()
        host.end("a", code=1)
        await host.seen("container.started", 3)
        host.end("a", code=1)
        await host.seen("container.failed", 2)
        assert {one["state"] for one in fleet.status()} == {"failed"}
        (record,) = host.of("group.failed")
        assert record["reason"] == "group app: more than 1 failures within 60 s, the last of a"
        assert len(told) == 1

    group = Group("app", ("a", "b"), limit=Limit(1, 60.0), escalate="stop-supervisor")
    stage.play(main, make("a"), make("b"), groups=(group,))
