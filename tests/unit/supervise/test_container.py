"""One container's task: the order of what it does, its crash boundary, and its return after a crash."""

import os
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from supervisor.core.backoff import Backoff
from supervisor.core.spec import Container, Restart
from supervisor.errors import HelperError
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.ports import Cgroup, Ended, Reading

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.supervise.conftest import Host, Stage

    Make = Callable[..., Container]


async def quiet() -> None:
    await trio.testing.wait_all_tasks_blocked()


def test_output_and_cgroup_are_attached_before_it_runs_and_read_to_the_end_before_it_has_ended(
    stage: "Stage",
) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        host.end("web", code=1)
        await quiet()
        assert fleet.status()[0]["state"] == "backoff"
        assert host.calls == [
            "launch web 1",
            "output.attach web 1",
            "kernel.attach web 1 /cg/web",
            "output.drain web",
            "kernel.detach web",
            "output.detach web",
        ]

    stage.play(main)


def test_a_crash_is_restarted_when_its_backoff_is_over(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        began = trio.current_time()
        for times in range(3):
            host.end("web", code=1)
            await host.seen("container.started", times + 2)
        assert trio.current_time() - began == pytest.approx(0.1 + 0.2 + 0.4)
        assert [record["delay_s"] for record in host.of("container.backoff")] == [0.1, 0.2, 0.4]
        assert fleet.status()[0]["restarts"] == 3

    stage.play(main)


@pytest.mark.parametrize("crowded", [False, True])
def test_without_a_delay_a_restart_follows_the_end_at_once_and_is_told_as_any_other(
    stage: "Stage", make: "Make", crowded: bool
) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.crowded = crowded
        await fleet.start("web")
        began = trio.current_time()
        host.end("web", code=1)
        await host.seen("container.started", 2)
        assert trio.current_time() == began
        assert host.events("web")[-4:] == [
            "container.exited",
            "container.backoff",
            "container.starting",
            "container.started",
        ]
        assert host.of("container.backoff")[0]["delay_s"] == 0
        status = fleet.status()[0]
        assert (status["state"], status["run"], status["restarts"]) == ("running", 2, 1)

    stage.play(main, make(restart=Restart("always", backoff=Backoff(initial=0))))


def test_what_asks_for_the_next_launch_is_in_the_ledger_before_it_is_asked_for(
    stage: "Stage", make: "Make", monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        save = host.ledger.save

        def saved(name: str, content: dict[str, Any]) -> None:
            save(name, content)
            host.calls.append(f"save {content['machine']['state']} {content['machine']['run']}")

        monkeypatch.setattr(host.ledger, "save", saved)
        del host.calls[:]
        host.end("web", code=1)
        await host.seen("container.started", 2)
        told = [call for call in host.calls if call.split()[0] in {"save", "launch"}]
        assert told == ["save starting 2", "launch web 2", "save running 2"]

    stage.play(main, make(restart=Restart("always", backoff=Backoff(initial=0))))


def test_restarts_without_delay_go_on_for_ever_and_let_the_others_have_their_turn(
    stage: "Stage", make: "Make"
) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches["web"] = "unlinked"
        await fleet.boot()
        await host.seen("container.launch_failed", 20)
        await fleet.stop("web")
        assert fleet.status()[0]["state"] == "stopped"

    stage.play(main, make(restart=Restart("always", backoff=Backoff(initial=0))))


def test_an_oom_kill_is_told_from_the_cgroup(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.readings["web"] = Reading(usage_usec=9, oom_kill=1)
        await fleet.start("web")
        host.end("web", signal=9)
        await quiet()
        (record,) = host.of("container.exited")
        assert (record["oom"], record["reason"], record["cpu"]["usage_usec"]) == (True, "oom", 9)

    stage.play(main)


def test_a_success_is_no_oom_though_one_of_its_processes_was_killed(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.readings["web"] = Reading(oom_kill=1)
        await fleet.start("web")
        host.end("web", code=0)
        await quiet()
        assert fleet.status()[0]["exit"] == {"code": 0, "signal": None, "oom": False, "reason": "exit"}

    stage.play(main, make(policy="on-failure"))


def test_its_cgroup_is_let_go_of_before_it_is_removed(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        await fleet.stop("web")
        assert host.calls[-4:] == [
            "kernel.detach web",
            "output.detach web",
            "kernel.release web",
            "remove web",
        ]

    stage.play(main)


@pytest.mark.parametrize(
    "port", ["output.attach", "kernel.attach", "output.drain", "kernel.detach", "remove"]
)
def test_a_bug_in_another_room_is_recorded_and_loses_no_event(stage: "Stage", port: str) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.broken[port] = RuntimeError("a bug")
        await fleet.start("web")
        await fleet.stop("web")
        assert [record["error"] for record in host.of("supervisor.bug")] == ["RuntimeError('a bug')"]

    stage.play(main)


def test_a_bug_in_the_task_itself_ends_neither_it_nor_its_neighbours(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.broken["record container.starting"] = RuntimeError("a bug")
        await fleet.boot()
        assert await fleet.settled() == []
        assert len(host.of("supervisor.bug")) == 1
        assert sorted(host.did("launch")) == ["launch db 1", "launch web 1"]

    stage.play(main, make(), make("db"))


def test_a_launch_without_a_helper_is_a_failed_launch_and_is_tried_again(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches["web"] = "unlinked"
        await fleet.boot()
        assert await fleet.settled() == ["web"]
        (failure,) = host.of("container.launch_failed")
        assert (failure["stage"], failure["hint"]) == ("helper", "the link to the helper is down")
        del host.launches["web"]
        await host.seen("container.started", 1)
        assert fleet.status()[0]["state"] == "running"

    stage.play(main)


def test_a_kill_that_was_lost_is_asked_for_again(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.deaf = True
        host.broken["kill"] = HelperError("gone")
        await fleet.start("web")
        with trio.move_on_after(25):
            await fleet.stop("web")
        assert len(host.did("kill")) == 2
        host.broken.clear()
        await fleet.stop("web")
        assert len(host.did("kill")) == 3

    stage.play(main)


def test_a_supervisor_that_was_killed_carries_on_with_what_lives(stage: "Stage") -> None:
    async def first(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        host.end("web", code=1)
        await host.seen("container.started", 2)

    async def second(host: "Host", fleet: Fleet) -> None:
        fleet.deliver(host.started("web", 2, adopted=True))
        await fleet.boot()
        assert await fleet.settled() == []
        (shown,) = fleet.status()
        assert (shown["state"], shown["run"], shown["restarts"], shown["pid"]) == ("running", 2, 1, 1002)
        assert shown["started_at"] == "2023-11-14T22:13:20.100000Z"
        assert shown["uptime_s"] == pytest.approx(60.0 - 0.1)
        assert [run["run"] for run in fleet.inspect("web")["history"]] == [1]
        assert len(host.of("container.adopted")) == 1
        assert len(host.did("launch")) == 2

    stage.play(first)
    stage.play(second, later=60.0)


def test_what_ended_meanwhile_has_its_output_read_and_its_exit_judged(stage: "Stage") -> None:
    async def first(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")

    async def second(host: "Host", fleet: Fleet) -> None:
        host.calls.clear()
        fleet.deliver(Ended("web", 1, 3, None, cgroup=Cgroup("/cg/web", "/cg/web")))
        await fleet.boot()
        await quiet()
        assert fleet.status()[0]["exit"]["code"] == 3
        assert host.calls[:3] == ["output.attach web 1", "kernel.attach web 1 /cg/web", "output.drain web"]
        await host.seen("container.started", 2)
        assert fleet.status()[0]["run"] == 2

    stage.play(first)
    stage.play(second)


def test_a_backoff_goes_on_where_it_was(stage: "Stage") -> None:
    async def first(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        for times in range(6):
            host.end("web", code=1)
            await host.seen("container.started", times + 2)
        host.end("web", code=1)
        await quiet()

    async def second(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await host.seen("container.started", 8)
        assert trio.current_time() == pytest.approx(6.4 - 1.0)
        assert fleet.status()[0]["restarts"] == 7

    stage.play(first)
    stage.play(second, later=6.3 + 1.0)


def test_an_end_that_was_told_before_is_not_judged_twice(stage: "Stage", make: "Make") -> None:
    async def first(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        host.end("web", code=0)
        await quiet()

    async def second(host: "Host", fleet: Fleet) -> None:
        fleet.deliver(Ended("web", 1, 0, None))
        await fleet.boot()
        assert await fleet.settled() == []
        assert len(host.of("container.exited")) == 1
        await quiet()
        assert host.did("remove") == ["remove web"] * 2, "the first may have been lost with the supervisor"

    stage.play(first, make(policy="on-failure"))
    stage.play(second, make(policy="on-failure"))


def test_a_launch_that_was_lost_with_the_supervisor_is_asked_for_again(stage: "Stage") -> None:
    async def first(host: "Host", fleet: Fleet) -> None:
        host.launches["web"] = "hold"
        await fleet.boot()
        await quiet()

    async def second(host: "Host", fleet: Fleet) -> None:
        host.launches.clear()
        await fleet.boot()
        assert await fleet.settled() == []
        assert host.did("launch") == ["launch web 1", "launch web 1"]

    stage.play(first)
    stage.play(second)


def test_without_a_ledger_runs_are_numbered_on_from_those_on_record(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        assert host.did("launch") == ["launch web 8"]

    stage.host.last_runs["web"] = 7
    stage.play(main)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"saved_at": 1, "content": {"machine": {"version": 99}}}'])
def test_a_corrupt_ledger_is_recorded_and_the_helper_believed(stage: "Stage", damage: bytes) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        fleet.deliver(host.started("web", 6, adopted=True))
        await fleet.boot()
        assert await fleet.settled() == []
        assert len(host.of("supervisor.ledger_ignored")) == 1
        assert not host.did("launch")
        host.alive["web"] = 6
        await fleet.restart("web")
        assert host.did("launch") == ["launch web 7"]

    with open(os.open("web.json", os.O_WRONLY | os.O_CREAT, dir_fd=stage.folder), "wb") as file:
        file.write(damage)
    stage.play(main)
