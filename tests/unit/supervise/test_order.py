"""Nothing starts before what it depends on is ready; what it requires takes it down, and brings it back."""

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from supervisor.core.spec import Container, Depends, Health, Ready
from supervisor.errors import RequestError
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.ports import BecameReady, Probed, StatusTold, WatchdogMissed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.supervise.conftest import Host, Stage

    Make = Callable[..., Container]

PROBED = Ready("tcp", "127.0.0.1:1", timeout=5.0)
AFTER = Depends(after=("db",))
REQUIRES = Depends(requires=("db",))


def states(fleet: Fleet) -> dict[str, str]:
    return {one["name"]: one["state"] for one in fleet.status()}


async def calm() -> None:
    """Until every task waits for something that does not come by itself."""
    await trio.testing.wait_all_tasks_blocked()


def test_a_container_waits_until_what_it_is_after_is_ready(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await calm()
        assert states(fleet) == {"web": "waiting", "db": "running"}
        assert fleet.status(["web"])[0]["waits_for"] == [{"name": "db", "why": "is not ready yet"}]
        assert not fleet.status(["db"])[0]["ready"]
        fleet.deliver(BecameReady("db", 1))
        await calm()
        assert states(fleet) == {"web": "running", "db": "running"}
        assert host.did("launch") == ["launch db 1", "launch web 1"]
        assert len(host.of("container.waiting")) == len(host.of("container.ready")) == 1

    stage.play(main, make("web", depends=AFTER), make("db", ready=PROBED))


@pytest.mark.parametrize("before", ["stopped", "failed"])
def test_what_a_container_was_before_does_not_say_that_it_has_been_started(
    stage: "Stage", make: "Make", before: str
) -> None:
    async def first(host: "Host", fleet: Fleet) -> None:
        if before == "failed":
            host.launches["web"] = "fail"
        await fleet.boot()
        await calm()
        fleet.deliver(BecameReady("db", 1))
        await fleet.settled()
        assert states(fleet)["web"] == ("failed" if before == "failed" else "running")
        await fleet.shutdown()

    async def second(host: "Host", fleet: Fleet) -> None:
        host.launches.clear()
        await fleet.boot()
        await calm()
        assert states(fleet) == {"web": "waiting", "db": "running"}
        assert not fleet.keepers["web"].settled.is_closed()
        fleet.deliver(BecameReady("db", fleet.keepers["db"].machine.run))
        assert await fleet.settled() == []
        assert states(fleet)["web"] == "running"

    web, db = make("web", depends=AFTER, policy="never"), make("db", ready=PROBED)
    stage.play(first, web, db)
    stage.play(second, web, db)


def test_a_crash_of_what_is_required_takes_it_down_and_brings_it_back(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        host.end("db", code=1)
        await host.seen("container.waiting", 2)
        assert fleet.status(["web"])[0]["exit"]["reason"] == "dependency"
        await host.seen("container.started", 4)
        await calm()
        assert states(fleet) == {"web": "running", "db": "running"}
        assert host.did("launch")[-2:] == ["launch db 2", "launch web 2"]

    stage.play(main, make("web", depends=REQUIRES), make("db"))


def test_a_crash_of_what_it_is_merely_after_leaves_it_running(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        host.end("db", code=1)
        await host.seen("container.started", 3)
        assert fleet.status(["web"])[0]["run"] == 1

    stage.play(main, make("web", depends=AFTER), make("db"))


@pytest.mark.parametrize("action", ["stop", "restart"])
def test_by_hand_what_requires_it_goes_down_first(stage: "Stage", make: "Make", action: str) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        host.calls.clear()
        await getattr(fleet, action)("db")
        await calm()
        assert [call.split()[1] for call in host.did("signal")] == ["app", "web", "db"]
        back = {"stop": [], "restart": ["launch db 2", "launch web 2", "launch app 2"]}
        assert host.did("launch") == back[action]
        assert states(fleet)["web"] == {"stop": "waiting", "restart": "running"}[action]

    app = make("app", depends=Depends(requires=("web",)))
    stage.play(main, app, make("web", depends=REQUIRES), make("db"))


def test_a_shutdown_stops_everything_after_what_depends_on_it(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        await fleet.shutdown()
        assert [call.split()[1] for call in host.did("signal")] == ["web", "db"]
        assert set(states(fleet).values()) == {"stopped"}

    stage.play(main, make("db"), make("web", depends=AFTER))


def test_a_start_says_what_it_waits_for_and_starts_what_it_requires(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        await fleet.stop("db")
        with pytest.raises(RequestError, match="web did not start: waits for db, which is stopped"):
            await fleet.restart("web")
        await fleet.start("all")
        assert states(fleet)["db"] == "running"

    stage.play(main, make("web", depends=AFTER), make("all", depends=REQUIRES), make("db"))


def test_a_failed_dependency_is_told_to_what_waits_and_settles_it(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches["db"] = "fail"
        await fleet.boot()
        assert await fleet.settled() == ["app", "web", "db"]
        assert host.of("container.waiting")[-1]["level"] == "warning"
        assert fleet.status(["web"])[0]["waits_for"] == [{"name": "db", "why": "is failed"}]

    app = make("app", depends=Depends(after=("web",)))
    stage.play(main, app, make("web", depends=AFTER), make("db"))


def test_a_service_starts_once_its_job_has_succeeded(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await calm()
        assert states(fleet) == {"web": "waiting", "migrate": "running"}
        host.end("migrate", code=3)
        await calm()
        assert states(fleet)["web"] == "waiting"
        await fleet.start("migrate")
        host.end("migrate", code=0)
        await calm()
        assert states(fleet) == {"web": "running", "migrate": "exited"}

    needs = Depends(after=("migrate",), succeeded=("migrate",))
    stage.play(main, make("web", depends=needs), make("migrate", "never"))


def test_a_service_means_all_its_replicas(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        host.launches["db.2"] = "hold"
        await fleet.boot()
        await calm()
        assert states(fleet)["web"] == "waiting"
        fleet.deliver(host.started("db.2", 1))
        await calm()
        assert states(fleet)["web"] == "running"

    stage.play(main, make("web", depends=AFTER), make("db.1", service="db"), make("db.2", service="db"))


def test_what_is_not_ready_in_time_has_failed_and_is_tried_again(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await host.seen("container.started", 2)
        (ended,) = host.of("container.exited")
        assert (ended["reason"], ended["uptime_s"]) == ("readiness", 5.0)
        assert "it was not ready in time" in ended["decision"]

    stage.play(main, make("db", ready=PROBED))


def test_an_unhealthy_run_is_restarted_as_a_failure(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        fleet.deliver(Probed("db", 1, ok=True))
        fleet.deliver(StatusTold("db", 1, "serving"))
        await calm()
        assert (fleet.status()[0]["healthy"], fleet.status()[0]["status_text"]) == (True, "serving")
        for _ in range(2):
            fleet.deliver(Probed("db", 1, ok=False, why="refused"))
        await host.seen("container.started", 2)
        assert host.of("health.failed")[0]["why"] == "refused"
        assert host.of("container.exited")[0]["reason"] == "health"
        assert host.of("container.backoff")[0]["failures"] == 1

    stage.play(main, make("db", health=Health("tcp", "127.0.0.1:1", retries=2)))


def test_a_missed_watchdog_is_a_failure(stage: "Stage", make: "Make") -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        fleet.deliver(WatchdogMissed("db", 1, 2.0))
        await host.seen("container.started", 2)
        assert host.of("container.exited")[0]["reason"] == "watchdog"

    stage.play(main, make("db", ready=Ready("notify")))


def test_after_a_supervisor_that_was_killed_nothing_goes_down_and_nothing_starts_too_early(
    stage: "Stage", make: "Make"
) -> None:
    fleet_of = (make("web", depends=REQUIRES), make("db", ready=PROBED))

    async def first(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        fleet.deliver(BecameReady("db", 1))
        await host.seen("container.started", 1)
        await calm()
        fleet.deliver(BecameReady("db", 1))
        await host.seen("container.started", 2)

    async def second(host: "Host", fleet: Fleet) -> None:
        host.calls.clear()
        for name in ("web", "db"):
            fleet.deliver(host.started(name, 1, adopted=True))
        await fleet.boot()
        await fleet.settled()
        await calm()
        assert not host.did("launch")
        assert not host.did("signal")

    stage.play(first, *fleet_of)
    stage.play(second, *fleet_of)


def test_a_storm_of_restarts_is_spread_over_time_and_told_twice(stage: "Stage", make: "Make") -> None:
    names = [f"c{number}" for number in range(120)]

    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await fleet.settled()
        for name in names:
            host.end(name, code=1)
        await host.seen("container.started", 240)
        assert trio.current_time() == pytest.approx(0.1 + 70 / 50)
        await host.seen("supervisor.brake_released", 1)
        assert len(host.of("supervisor.brake")) == 1
        assert host.of("supervisor.brake_released")[0]["held"] == 70

    stage.play(main, *(make(name) for name in names))
