"""Holds of probes over time, with a helper that answers as it is told, on a mock clock: when they are made, what is told of them,
and what a reload, an end or a helper that is gone does to them.
"""

import math
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
import trio
import trio.testing

from supervisor.core.readings import Cgroup
from supervisor.core.spec import Container, Health, Ready, Stop
from supervisor.errors import HelperError
from supervisor.probes.ports import Told
from supervisor.probes.probes import TOO_SLOW, Probes

HTTP = Health("http", "http://127.0.0.1/", interval=10.0, timeout=2.0)
NOTIFY = Ready("notify", watchdog=5.0)


class Stage:
    """Helper, output and whoever is told, in one. `answers` are a probe's, the last for ever; `takes` its seconds."""

    def __init__(self) -> None:
        self.answers: dict[str, list[str | None]] = {"ready": [""], "health": [""]}
        self.takes = 0.0
        self.asked: list[tuple[float, str]] = []
        self.told: list[tuple[Any, ...]] = []
        self.busy = False
        self.gone = self.forged = False
        self.under_way = 0
        self.hear: Callable[[str, bytes], None] | None = None
        self.says, self.heard = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.heard.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.heard.setblocking(False)
        self.bugs: list[BaseException] = []
        names = Told._fields
        told = Told(*(self.teller(name) for name in names))
        self.probes = Probes(
            self, self, told, self.bugs.append, uniform=lambda: 0.5, belongs=lambda *_: not self.forged
        )

    def teller(self, what: str) -> Callable[..., None]:
        return lambda *fields: self.told.append((what, *fields))

    async def probe(self, name: str, run: int, kind: str) -> str | None:
        if self.gone:
            raise HelperError("gone")
        self.asked.append((trio.current_time(), kind))
        self.under_way += 1
        try:
            await trio.sleep(self.takes)
        finally:
            self.under_way -= 1
        answers = self.answers[kind]
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async def over(self, name: str, kind: str) -> None:
        await trio.sleep(math.inf if self.busy else 0)

    async def words(self, name: str, run: int) -> tuple[int, int] | None:
        await trio.lowlevel.checkpoint()
        return os.dup(self.heard.fileno()), -1

    def listen(self, name: str, hear: Callable[[str, bytes], None]) -> None:
        self.hear = hear

    def listen_no_more(self, name: str) -> None:
        self.hear = None

    def times(self, kind: str) -> list[float]:
        return [when for when, asked in self.asked if asked == kind]


@pytest.fixture
def stage() -> Any:
    made = Stage()
    yield made
    made.says.close()
    made.heard.close()
    assert made.bugs == []


def play(stage: Stage, main: Callable[[Probes], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(stage.probes.run)
            await main(stage.probes)
            nursery.cancel_scope.cancel()

    trio.run(whole, clock=trio.testing.MockClock(autojump_threshold=0.001))


def web(ready: Ready | None = None, health: Health | None = None) -> Container:
    return Container("web", "host", ("/bin/web",), ready=ready, health=health)


def attach(probes: Probes, spec: Container, *, ready: bool = False, run: int = 1) -> None:
    probes.attach(spec, run, 1000, Cgroup("/nowhere", "/nowhere"), ready)


def test_health_is_looked_at_at_its_interval_however_long_a_look_takes(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.takes = 1.5
        attach(probes, web(health=HTTP), ready=True)
        await trio.sleep(35)

    play(stage, main)
    assert stage.times("health") == [0.5, 10.5, 20.5, 30.5]
    assert stage.told == [("probed", "web", 1, True, "")] * 4


def test_a_look_that_takes_longer_than_the_interval_delays_the_next_and_is_never_two(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.takes = 3.0
        attach(probes, web(health=Health("exec", ("x",), interval=1.0, timeout=5.0)), ready=True)
        for _ in range(10):
            await trio.sleep(1)
            assert stage.under_way <= 1

    play(stage, main)
    assert stage.times("health") == [0.5, 3.5, 6.5, 9.5]


def test_a_probe_that_cannot_be_ended_is_a_failure_each_time(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.busy = True
        attach(probes, web(health=HTTP), ready=True)
        await trio.sleep(25)

    play(stage, main)
    why = "the probe before this one could not be ended yet"
    assert stage.told == [("probed", "web", 1, False, why)] * 3
    assert stage.asked == []


def test_what_nobody_can_tell_is_told_to_nobody(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.answers["health"] = [None]
        attach(probes, web(health=HTTP), ready=True)
        await trio.sleep(25)
        stage.gone = True
        await trio.sleep(25)

    play(stage, main)
    assert stage.told == []


def test_readiness_is_looked_for_until_it_is_there_and_health_only_then(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.answers["ready"] = ["refused", "refused", ""]
        attach(probes, web(Ready("tcp", "127.0.0.1:1"), HTTP))
        await trio.sleep(5)
        assert stage.times("ready") == pytest.approx([0, 0.1, 0.25])
        await trio.sleep(10)

    play(stage, main)
    assert stage.told[:3] == [("unready", "web", 1, "refused")] * 2 + [("ready", "web", 1)]
    assert stage.times("health") == pytest.approx([0.75, 10.75])


def test_a_line_that_matches_is_readiness_and_then_no_line_is_looked_at_any_more(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        attach(probes, web(Ready("log", "up")))
        assert stage.hear is not None  # at once: its first line may be read in the next moment
        stage.hear("stdout", b"so far\n")
        assert stage.told == []
        stage.hear("stderr", b"up and running\n")
        assert stage.told == [("ready", "web", 1)]
        assert stage.hear is None

    play(stage, main)


def test_a_pattern_that_would_take_for_ever_is_given_up_and_that_is_told(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        attach(probes, web(Ready("log", "^(a+)+$")))
        assert stage.hear is not None
        stage.hear("stdout", b"a" * 60 + b"!\n")
        assert stage.hear is None

    play(stage, main)
    assert stage.told == [("unready", "web", 1, TOO_SLOW)]


def test_of_a_run_that_has_ended_nothing_is_told_and_its_probe_is_ended(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.takes = 5.0
        attach(probes, web(Ready("tcp", "127.0.0.1:1"), HTTP))
        await trio.sleep(1)
        assert stage.under_way == 1
        probes.detach("web")
        await trio.sleep(20)
        assert stage.under_way == 0
        attach(probes, web(), ready=True, run=2)
        probes.detach("nobody")

    play(stage, main)
    assert stage.told == []


def test_a_reload_that_changes_nothing_of_it_disturbs_no_probe_and_one_that_does_begins_it_anew(
    stage: Stage,
) -> None:
    async def main(probes: Probes) -> None:
        attach(probes, web(health=HTTP), ready=True)
        await trio.sleep(5)
        attach(probes, web(health=HTTP), ready=True)
        await trio.sleep(10)
        assert stage.times("health") == [0.5, 10.5]
        attach(probes, web(health=Health("tcp", "127.0.0.1:1", interval=1.0)), ready=True)
        await trio.sleep(2)
        assert stage.times("health") == [0.5, 10.5, 15.5, 16.5]
        attach(probes, web(), ready=True)
        await trio.sleep(10)
        assert len(stage.times("health")) == 4

    play(stage, main)


# ── sd_notify ──────────────────────────────────────────────────────────────────────────


def test_silence_is_told_once_and_only_after_it_was_ready(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        attach(probes, web(NOTIFY))
        await trio.sleep(60)
        assert stage.told == []
        stage.says.send(b"READY=1")
        await trio.sleep(3)
        stage.says.send(b"WATCHDOG=1")
        await trio.sleep(4)
        assert stage.told == [("ready", "web", 1)]
        await trio.sleep(60)

    play(stage, main)
    assert stage.told == [("ready", "web", 1), ("missed", "web", 1, 5.0)]


def test_it_may_change_how_often_it_speaks_and_say_that_it_is_broken(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        attach(probes, web(NOTIFY), ready=True)
        await trio.sleep(1)
        stage.says.send(b"WATCHDOG_USEC=100000000")
        await trio.sleep(90)
        assert stage.told == []
        stage.says.send(b"WATCHDOG=trigger")
        await trio.sleep(200)

    play(stage, main)
    assert stage.told == [("missed", "web", 1, 0.0)]


def test_once_its_end_was_asked_for_it_is_watched_no_more_but_heard(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        attach(probes, web(NOTIFY, HTTP), ready=True)
        await trio.sleep(1)
        probes.ending("web")
        attach(probes, web(NOTIFY, HTTP), ready=True)  # a reload meanwhile
        await trio.sleep(60)
        stage.says.send(b"EXTEND_TIMEOUT_USEC=7000000\nSTATUS=flushing")
        await trio.sleep(1)

    play(stage, main)
    assert stage.times("health") == [0.5]
    assert stage.told[1:] == [("status", "web", 1, "flushing"), ("extended", "web", 1, 7.0)]


def test_who_says_that_it_ends_is_left_alone_for_as_long_as_that_may_take_and_no_longer(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        spec = replace(web(NOTIFY, HTTP), stop=Stop(timeout=30.0))
        attach(probes, spec, ready=True)
        await trio.sleep(1)
        stage.says.send(b"STOPPING=1")
        await trio.sleep(1)
        attach(probes, spec, ready=True)  # a reload meanwhile
        await trio.sleep(25)
        assert stage.times("health") == [0.5]
        assert len(stage.told) == 1
        await trio.sleep(100)

    play(stage, main)
    assert stage.times("health")[1] == pytest.approx(31.5, abs=0.1)
    assert ("missed", "web", 1, 5.0) in stage.told


def test_a_stranger_is_told_of_once_and_not_heard(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.forged = True
        attach(probes, web(NOTIFY))
        for _ in range(3):
            stage.says.send(b"READY=1\nSTATUS=forged")
            await trio.sleep(1)

    play(stage, main)
    assert stage.told == [("refused", "web", 1, os.getpid(), os.getuid())]


def test_a_flood_of_words_is_heard_in_portions(stage: Stage) -> None:
    async def main(probes: Probes) -> None:
        stage.says.setblocking(False)
        attach(probes, web(NOTIFY), ready=True)
        sent = 0
        for _ in range(100):
            try:
                while True:
                    stage.says.send(b"STATUS=x")
                    sent += 1
            except BlockingIOError:
                await trio.sleep(0.01)
        assert sent == pytest.approx(len(stage.told), abs=600)

    play(stage, main)
    assert len(stage.told) < 64 * (1.0 / 0.1 + 2)
