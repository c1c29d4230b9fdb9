"""Holds of a running supervisor: containers start after what they depend on and stop before it, go down with what they
require, and come back with it; groups restart as their strategy says.
"""

import os
import signal

import pytest

from tests.support.running import Running, Supervise, shell, table

pytestmark = pytest.mark.kernel

FOREVER = "exec sleep 100000"
QUICK = {"policy": "always", "backoff": {"initial": "20ms", "factor": 1.0, "max": "20ms", "jitter": 0.0}}
EXIT_ON_TERM = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


def order(running: Running, event: str) -> list[str]:
    """Names in the order in which this was recorded of them."""
    return [one["container"] for one in running.events(event)]


def crash(running: Running, name: str) -> None:
    os.kill(running.state(name, "running")["pid"], signal.SIGKILL)


def test_containers_start_after_what_they_depend_on_and_stop_before_it(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": shell(EXIT_ON_TERM, depends={"after": ["app"]}),
            "app": shell(EXIT_ON_TERM, depends={"requires": ["db"]}),
            "db": shell(EXIT_ON_TERM),
        }
    )
    for name in ("web", "app", "db"):
        running.state(name, "running")
    assert order(running, "container.started") == ["db", "app", "web"]
    running.stop()
    assert order(running, "container.exited") == ["web", "app", "db"]


def test_what_requires_a_container_goes_down_with_it_and_comes_back_with_it(supervise: Supervise) -> None:
    running = supervise(
        {
            "web": shell(FOREVER, restart=QUICK, depends={"requires": ["db"]}),
            "log": shell(FOREVER, restart=QUICK, depends={"after": ["db"]}),
            "db": shell(FOREVER, restart=QUICK),
        }
    )
    before = running.state("log", "running")["pid"]
    running.state("web", "running")
    crash(running, "db")
    web = running.state("web", "running", run=2)
    assert web["exit"]["reason"] == "dependency"
    assert running.state("db", "running", run=2)["exit"]["signal"] == 9
    assert running.of("log")["pid"] == before
    assert running.event("container.stopping", "web")["by"] == "dependency"


def test_a_service_waits_for_its_job_and_says_so_when_that_fails(supervise: Supervise) -> None:
    running = supervise(
        {"web": shell(FOREVER, depends={"after": {"migrate": "succeeded"}}), "migrate": shell("exit 3")}
    )
    said = running.event("container.waiting", "web", level="warning")
    assert said["for"] == ["migrate"]
    assert running.of("web")["waits_for"] == [{"name": "migrate", "why": "has not ended well (it is exited)"}]


def test_a_group_restarts_as_a_whole_and_what_another_one_does_is_none_of_its_business(
    supervise: Supervise,
) -> None:
    running = supervise.prepare(
        {name: shell(FOREVER, restart=QUICK) for name in ("first", "second", "third", "other")}
    )
    group = table("group.app", {"members": ["first", "second", "third"], "strategy": "rest_for_one"})
    with (running.configs / "all.toml").open("a") as file:
        file.write(group)
    running.start()
    before = {name: running.state(name, "running")["pid"] for name in ("first", "other")}
    crash(running, "second")
    running.state("second", "running", run=2)
    assert running.state("third", "running", run=2)["exit"]["reason"] == "group"
    assert {name: running.of(name)["pid"] for name in before} == before
    assert running.event("group.restarting")["members"] == ["third"]


def test_a_group_past_its_limit_takes_the_supervisor_with_it_where_its_file_says_so(
    supervise: Supervise,
) -> None:
    running = supervise.prepare({"one": shell(FOREVER, restart=QUICK), "two": shell(FOREVER, restart=QUICK)})
    keys = {
        "members": ["one", "two"],
        "limit": {"failures": 1, "within": "1h"},
        "escalate": "stop-supervisor",
    }
    with (running.configs / "all.toml").open("a") as file:
        file.write(table("group.app", keys))
    running.start()
    crash(running, "one")
    running.state("one", "running", run=2)
    crash(running, "one")
    running.ended()
    assert running.events("group.failed")[0]["escalate"] == "stop-supervisor"
    assert running.events("supervisor.stopping")
