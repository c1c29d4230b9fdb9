"""What the files changed is done in order, to whom it concerns alone, and is on record; what went wrong is said."""

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from supervisor.core.operator import Operator
from supervisor.core.spec import Configuration, Container, Depends, Group, Logs, Monitor, Settings
from supervisor.errors import ConfigError, HelperError, Problem, RequestError
from supervisor.supervise.declared import Declared
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.reload import Reload

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.supervise.conftest import Host, Stage

    Make = Callable[..., Container]

SETTINGS = Settings(Logs("/logs"))


@dataclass
class Read:
    spec: bytes
    limits: dict[str, str] = field(default_factory=dict)


class Files:
    """Root's files are `now`, or what is wrong with them; a reading lasts until `gate` is open."""

    def __init__(self, host: "Host") -> None:
        self.host = host
        self.now = Configuration(SETTINGS)
        self.wrong: Exception | None = None
        self.limits: dict[str, str] = {}
        self.gate = trio.Event()
        self.gate.set()

    async def reload(self, *, apply: bool) -> Read:
        self.host.note("reload", "apply" if apply else "plan")
        await self.gate.wait()
        if self.wrong:
            raise self.wrong
        return Read(b"", dict(self.limits))


class Scene:
    """A fleet of these containers that runs, and its reload."""

    def __init__(self, host: "Host", fleet: Fleet, running: tuple[Container, ...]) -> None:
        self.host, self.fleet = host, fleet
        self.files = Files(host)
        self.taken: list[Configuration] = []
        self.kept: list[bytes] = []
        self.reload = Reload(
            Declared(Configuration(SETTINGS, running), self.kept.append), fleet, self.files, host,
            decode=lambda _: self.files.now, take_up=self.taken.append,
        )  # fmt: skip

    def write(self, *containers: Container, settings: Settings = SETTINGS) -> None:
        self.files.now = Configuration(settings, containers)

    def states(self) -> dict[str, str]:
        return {one["name"]: one["state"] for one in self.fleet.status()}


def play(stage: "Stage", main: Any, *running: Container) -> "Host":
    async def whole(host: "Host", fleet: Fleet) -> None:
        scene = Scene(host, fleet, running)
        await fleet.boot()
        await fleet.settled()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.reload.run)
            await main(scene)
            nursery.cancel_scope.cancel()

    return stage.play(whole, *running)


def test_what_is_removed_has_ended_before_what_is_added_is_started(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("new"), make("stays"))
        answer = await scene.reload.reload(Operator(7, 8))
        assert answer == {
            "added": ["new"], "removed": ["old"], "restarted": [], "changed": [], "settings": [], "failed": {},
        }  # fmt: skip
        assert scene.states() == {"new": "running", "stays": "running"}
        calls = scene.host.calls
        assert calls.index("remove old") < calls.index("launch new 1")
        assert sorted(scene.host.did("launch")) == ["launch new 1", "launch old 1", "launch stays 1"]
        events = scene.host.events()
        assert events.index("operator.request") < events.index("container.stopping")
        assert scene.host.of("operator.request")[-1]["operator"] == {"uid": 7, "pid": 8}
        assert len(scene.host.of("supervisor.reloaded")) == 1
        assert [one.containers for one in scene.taken] == [scene.files.now.containers]

    play(stage, main, make("old"), make("stays"))


def test_a_container_declared_anew_is_restarted_with_its_key_on_record(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("web", workdir="/other"), make("db"))
        answer = await scene.reload.reload()
        assert answer["restarted"] == [{"name": "web", "keys": ["workdir"]}]
        (shown,) = scene.fleet.status(["web"])
        assert (shown["run"], shown["restarts"], shown["exit"]["reason"]) == (2, 0, "configuration")
        (record,) = scene.host.of("container.reconfigured")
        assert (record["container"], record["how"], record["keys"]) == ("web", "restarted", ("workdir",))
        assert scene.fleet.inspect("web")["configuration"]["workdir"] == "/other"
        assert sorted(scene.host.did("launch")) == ["launch db 1", "launch web 1", "launch web 2"]

    play(stage, main, make("web"), make("db"))


def test_a_policy_is_in_force_at_once_and_without_a_restart(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("web", "never"))
        answer = await scene.reload.reload()
        assert answer["changed"] == [{"name": "web", "keys": ["restart.policy"]}]
        scene.host.end("web", code=3)
        await trio.testing.wait_all_tasks_blocked()
        assert scene.states() == {"web": "exited"}

    play(stage, main, make("web", "always"))


@pytest.mark.parametrize("code", [None, 0])
def test_what_somebody_stopped_or_what_has_ended_is_left_at_rest(
    stage: "Stage", make: "Make", code: int | None
) -> None:
    async def main(scene: Scene) -> None:
        if code is None:
            await scene.fleet.stop("job")
        else:
            scene.host.end("job", code=code)
            await trio.testing.wait_all_tasks_blocked()
        scene.write(make("job", "on-failure", workdir="/other"))
        answer = await scene.reload.reload()
        assert (answer["restarted"], answer["changed"]) == ([], [{"name": "job", "keys": ["workdir"]}])
        assert scene.host.of("container.reconfigured")[0]["how"] == "at its next run"
        assert scene.host.did("launch") == ["launch job 1"]
        await scene.fleet.start("job")
        assert scene.states() == {"job": "running"}

    play(stage, main, make("job", "on-failure"))


def test_a_plan_changes_nothing_and_is_not_on_record(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("new"))
        before = len(scene.host.records)
        assert (await scene.reload.plan())["removed"] == ["web"]
        assert (scene.states(), len(scene.host.records)) == ({"web": "running"}, before)
        assert scene.host.did("reload") == ["reload plan"]
        assert scene.taken == []

    play(stage, main, make("web"))


def test_files_that_are_wrong_change_nothing_and_their_problems_come_back(
    stage: "Stage", make: "Make"
) -> None:
    problems = (Problem("a.toml", 3, "container.web", "no"), Problem("b.toml", 0, "", "not TOML"))

    async def main(scene: Scene) -> None:
        scene.write(make("new"))
        scene.files.wrong = ConfigError(problems)
        with pytest.raises(RequestError) as caught:
            await scene.reload.reload()
        assert (caught.value.code, caught.value.problems) == ("invalid", problems)
        assert scene.states() == {"web": "running"}
        assert "b.toml: not TOML" in scene.host.of("supervisor.reload_refused")[0]["error"]
        scene.files.wrong = HelperError("it ended without an answer")
        with pytest.raises(RequestError, match="without an answer"):
            await scene.reload.reload()
        scene.files.wrong = None
        assert (await scene.reload.reload())["added"] == ["new"]

    play(stage, main, make("web"))


def test_what_could_not_be_done_is_told_by_container_and_the_rest_is_done(
    stage: "Stage", make: "Make"
) -> None:
    async def main(scene: Scene) -> None:
        scene.host.launches["bad"] = "fail"
        scene.files.limits = {"web": "cpu.max: no", "db": ""}
        scene.write(make("web"), make("db", cgroup=(("cpu.max", "5 9"),)), make("bad"), make("good"))
        failed = (await scene.reload.reload())["failed"]
        assert list(failed) == ["web", "bad"]
        assert failed["web"] == "cpu.max: no"
        assert "/bin/nope" in failed["bad"]
        assert scene.states()["good"] == "running"
        assert scene.host.of("container.limits")[0]["cgroup"] == {"cpu.max": "5 9"}
        assert scene.host.of("container.limits_failed")[0]["container"] == "web"
        assert scene.host.of("supervisor.reloaded")[0]["level"] == "error"

    play(stage, main, make("web"), make("db"))


def test_whoever_asks_may_leave_and_the_next_waits_for_its_turn(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("web"), make("new"))
        scene.files.gate = trio.Event()
        with trio.move_on_after(1):
            await scene.reload.reload()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(scene.reload.reload)
            await trio.testing.wait_all_tasks_blocked()
            assert scene.host.did("reload") == ["reload apply"]
            scene.files.gate.set()
        assert [one["added"] for one in scene.host.of("supervisor.reloaded")] == [["new"], []]

    play(stage, main, make("web"))


def test_a_supervisor_that_stops_takes_nothing_up(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("web"), make("new"))
        await scene.fleet.shutdown()
        with pytest.raises(RequestError, match="stopping"):
            await scene.reload.reload()
        scene.reload.hear()
        await trio.testing.wait_all_tasks_blocked()
        assert scene.host.did("reload") == []

    play(stage, main, make("web"))


def test_a_setting_is_told_and_taken_up(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("web"), settings=replace(SETTINGS, monitor=Monitor(interval=9.0)))
        assert (await scene.reload.reload())["settings"] == ["monitor.interval"]
        assert scene.taken[0].settings.monitor.interval == 9.0
        assert json.dumps(await scene.reload.plan())
        assert scene.host.did("launch") == ["launch web 1"]

    play(stage, main, make("web"))


# ── in order of dependencies ───────────────────────────────────────────────────────────


def on(*names: str) -> Depends:
    return Depends(requires=names)


def test_what_is_added_is_started_after_what_it_needs_and_removed_before(
    stage: "Stage", make: "Make"
) -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("one"), make("web", depends=on("db")), make("db"))
        await scene.reload.reload()
        assert scene.host.did("launch") == ["launch one 1", "launch db 1", "launch web 1"]
        scene.write(make("one"))
        await scene.reload.reload()
        assert [call.split()[1] for call in scene.host.did("signal")] == ["web", "db"]
        assert scene.states() == {"one": "running"}

    play(stage, main, make("one"))


def test_what_requires_a_service_goes_on_while_it_grows_and_shrinks(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        app = make("app", depends=on("web"))
        scene.write(app, *(make(f"web.{number}", service="web") for number in (1, 2, 3, 4)))
        await scene.reload.reload()
        assert len(scene.host.did("launch")) == 5
        scene.write(app, *(make(f"web.{number}", service="web") for number in (1, 2, 3)))
        await scene.reload.reload()
        assert len(scene.host.did("launch")) == 5
        assert {one["run"] for one in scene.fleet.status()} == {1}
        assert set(scene.states().values()) == {"running"}

    web = [make(f"web.{number}", service="web") for number in (1, 2)]
    play(stage, main, *web, make("app", depends=on("web")))


def test_a_requirement_that_is_dropped_with_what_was_required_costs_nothing(
    stage: "Stage", make: "Make"
) -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("web"))
        answer = await scene.reload.reload()
        assert (answer["removed"], answer["changed"][0]["keys"]) == (["db"], ["depends.requires"])
        assert scene.fleet.status(["web"])[0]["run"] == 1

    play(stage, main, make("db"), make("web", depends=on("db")))


def test_two_of_which_one_requires_the_other_are_restarted_once_each(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        scene.write(make("db", workdir="/new"), make("web", workdir="/new", depends=on("db")))
        answer = await scene.reload.reload()
        assert (len(answer["restarted"]), answer["failed"]) == (2, {})
        assert scene.host.did("launch") == ["launch db 1", "launch web 1", "launch db 2", "launch web 2"]

    play(stage, main, make("db"), make("web", depends=on("db")))


def test_a_group_that_is_declared_anew_is_in_force_at_once(stage: "Stage", make: "Make") -> None:
    async def main(scene: Scene) -> None:
        together = Group("app", ("web", "db"), "one_for_all")
        scene.files.now = Configuration(SETTINGS, (make("web"), make("db")), (together,))
        assert (await scene.reload.reload())["settings"] == ["group.app"]
        scene.host.end("web", code=1)
        await scene.host.seen("container.started", 4)
        assert {one["run"] for one in scene.fleet.status()} == {2}

    play(stage, main, make("web"), make("db"))
