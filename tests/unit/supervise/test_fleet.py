"""What is asked of the fleet returns when it is done, or says why it cannot be."""

import json
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from supervisor.core.operator import Operator
from supervisor.core.spec import Container, Health, Stop
from supervisor.errors import RequestError
from supervisor.supervise.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.supervise.conftest import Host, Stage

    Make = Callable[..., Container]


def state(fleet: Fleet, name: str = "web") -> str:
    return str(fleet.status([name])[0]["state"])


def test_a_start_returns_when_it_runs_and_a_stop_when_it_has_stopped(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        assert state(fleet) == "running"
        await fleet.stop("web")
        assert state(fleet) == "stopped"
        assert host.did("remove") == ["remove web"]

    stage.play(main)


def test_a_restart_returns_when_the_next_run_runs(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        await fleet.restart("web")
        (shown,) = fleet.status()
        assert (shown["state"], shown["run"], shown["restarts"]) == ("running", 2, 0)
        assert shown["exit"] == {"code": None, "signal": 15, "oom": False, "reason": "operator"}

    stage.play(main)


def test_a_start_of_a_program_that_is_not_there_says_so(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches["web"] = "fail"
        with pytest.raises(RequestError, match=r"^web did not start: exec /bin/nope ENOENT") as caught:
            await fleet.start("web")
        assert caught.value.code == "failed"
        assert state(fleet) == "failed"
        known = fleet.inspect("web")
        assert known["launch_failure"] == "exec /bin/nope ENOENT (no such file)"
        assert known["history"][-1]["end"]["failure"]["errno"] == 2

    stage.play(main)


def test_a_run_too_short_to_be_seen_counts_as_started(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches["job"] = "hold"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fleet.start, "job")
            await trio.testing.wait_all_tasks_blocked()
            fleet.deliver(host.started("job", 1))
            host.end("job", code=0)
        assert state(fleet, "job") == "exited"

    stage.play(main, make("job", "on-failure"))


def test_a_stop_that_a_start_overtakes_is_a_conflict(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.deaf = True
        await fleet.start("web")

        async def stop() -> None:
            with pytest.raises(RequestError, match="asked to start again"):
                await fleet.stop("web")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stop)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(fleet.start, "web")
        assert fleet.status()[0]["run"] == 2

    stage.play(main)


def test_a_deaf_container_is_killed_when_its_time_is_over(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.deaf = True
        await fleet.start("web")
        began = trio.current_time()
        await fleet.stop("web")
        assert trio.current_time() - began == pytest.approx(3.0)
        assert host.did("kill") == ["kill web 1"]

    stage.play(main, make(stop=Stop("SIGTERM", 3.0)))


def test_a_base_name_means_all_replicas(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        assert [shown["state"] for shown in fleet.status(["web"])] == ["running", "running"]
        await fleet.stop("web.2")
        assert [shown["state"] for shown in fleet.status()] == ["running", "stopped", "waiting"]
        host.launches["web.2"] = "fail"
        with pytest.raises(RequestError, match=r"^web\.2 did not start"):
            await fleet.start("web")
        with pytest.raises(RequestError, match=r"name one of web\.1, web\.2"):
            fleet.inspect("web")

    stage.play(main, make("web.1", service="web"), make("web.2", service="web"), make("db"))


def test_an_unknown_name_is_not_found_and_the_nearest_is_named(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        for ask in (fleet.start, fleet.stop, fleet.restart, fleet.kill):
            with pytest.raises(RequestError, match='no container "wbe"; did you mean "web"') as caught:
                await ask("wbe")
            assert caught.value.code == "not-found"
        with pytest.raises(RequestError, match="no container"):
            fleet.status(["nothing-like-it"])

    stage.play(main)


def test_a_kill_goes_straight_to_the_launcher_and_is_recorded(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.deaf = True
        await fleet.start("web")
        await fleet.kill("web", "HUP")
        assert host.did("signal") == ["signal web 1 1"]
        assert host.of("container.signalled")[0]["signal"] == 1
        with pytest.raises(RequestError, match="not a signal"):
            await fleet.kill("web", "SIGNOPE")
        await fleet.stop("web")
        with pytest.raises(RequestError, match="web is stopped: nothing to signal"):
            await fleet.kill("web", "HUP")

    stage.play(main)


def test_settled_names_what_could_not_be_started(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches |= {"a": "fail", "b": "unlinked"}
        await fleet.boot()
        assert await fleet.settled() == ["a", "b"]

    stage.play(main, make("a"), make("b"), make("c"))


def test_a_boot_asks_for_all_before_any_answer(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches |= {"a": "hold", "b": "hold", "c": "hold"}
        await fleet.boot()
        await trio.testing.wait_all_tasks_blocked()
        assert sorted(host.did("launch")) == ["launch a 1", "launch b 1", "launch c 1"]

    stage.play(main, make("a"), make("b"), make("c"))


def test_a_shutdown_stops_all_and_starts_nothing_more(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        await fleet.shutdown()
        assert {shown["exit"]["reason"] for shown in fleet.status()} == {"supervisor"}
        assert not host.alive
        with pytest.raises(RequestError, match="the supervisor is stopping"):
            await fleet.start("a")

    stage.play(main, make("a"), make("b"))


def test_a_second_shutdown_does_not_wait(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.deaf = True
        await fleet.start("web")
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fleet.shutdown)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(fleet.shutdown, True)
        assert trio.current_time() == began
        assert host.did("kill") == ["kill web 1"]

    stage.play(main)


def test_status_shows_the_object_that_is_promised_and_is_json(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        (shown,) = fleet.status(["web"])
        assert shown == {
            "name": "web",
            "state": "running",
            "ready": True,
            "healthy": None,
            "pid": 1001,
            "run": 1,
            "restarts": 0,
            "started_at": "2023-11-14T22:13:20.000000Z",
            "uptime_s": 0.0,
            "exit": None,
            "cgroup": "/cg/web",
            "cpu": {
                "usage_usec": 0,
                "nr_periods": 0,
                "nr_throttled": 0,
                "throttled_usec": 0,
                "quota_usec": None,
                "period_usec": None,
                "percent": 0.0,
                "throttled_percent": 0.0,
            },
            "memory": {"current": None, "max": None, "oom_kill": None},
            "output_waiting": 7,
            "waits_for": [],
            "status_text": "",
            "next_run": None,
        }
        assert json.loads(json.dumps(fleet.inspect("web")))["configuration"]["command"] == ["/bin/web"]

    stage.play(main, make(health=Health("tcp", "127.0.0.1:80")))


def test_news_of_a_container_that_is_not_declared_is_recorded_and_obeyed_by_nobody(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        fleet.deliver(host.started("ghost", 3))
        assert host.of("launcher.unknown_container")[0]["container"] == "ghost"

    stage.play(main)


@pytest.mark.parametrize("action", ["start", "stop", "restart", "kill"])
def test_who_asked_for_a_change_is_on_record_before_it_is_begun(stage: "Stage", action: str) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        await getattr(fleet, action)("web", by=Operator(1000, 77))
        (record,) = host.of("operator.request")
        told = {"action": action, "operator": {"uid": 1000, "pid": 77}}
        assert {key: record[key] for key in ("container", "run", *told)} == {
            "container": "web",
            "run": 1,
            **told,
        }
        following = host.events("web")[host.events("web").index("operator.request") + 1 :]
        expected = {
            "stop": "container.stopping",
            "restart": "container.stopping",
            "kill": "container.signalled",
        }
        assert following[:1] == ([expected[action]] if action in expected else [])

    stage.play(main)


def test_a_request_about_all_replicas_is_on_record_for_each(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.stop("web", Operator(0, 1))
        assert [record["container"] for record in host.of("operator.request")] == ["web.1", "web.2"]

    stage.play(main, make("web.1", service="web"), make("web.2", service="web"))


def test_a_request_that_no_container_is_meant_by_is_not_on_record(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        with pytest.raises(RequestError):
            await fleet.stop("nope", Operator(0, 1))
        assert host.of("operator.request") == []

    stage.play(main)


def test_who_stops_the_supervisor_is_on_record_unless_it_cannot_be_stopped(stage: "Stage") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        fleet.stop_asked(Operator(1000, 77))
        (record,) = host.of("operator.request")
        assert (record["container"], record["action"]) == (None, "stop")
        assert record["operator"] == {"uid": 1000, "pid": 77}
        host.lost = True
        with pytest.raises(RequestError):
            fleet.stop_asked(Operator(1000, 77))
        assert len(host.of("operator.request")) == 1

    stage.play(main)
