"""Holds: whoever is killed between the ledger and the records, at any write, loses none of them and has none written twice."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, cast

import pytest
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from supervisor.core.events import Record
from supervisor.core.spec import Container
from supervisor.logs import segments, store
from supervisor.logs.compression import compress
from supervisor.logs.frames import FORMATS
from supervisor.logs.journal import Journal
from supervisor.logs.segment import SUFFIX
from supervisor.supervise import unsaid
from supervisor.supervise.farewell import farewell
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.ledger import Ledger
from supervisor.supervise.outside import Ports
from supervisor.supervise.ports import Ended
from tests.unit.logs.conftest import Rig
from tests.unit.supervise.conftest import FakeOutput

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.supervise.conftest import Host, Stage

LOGS = "supervisor"


class Killed(BaseException):
    """SIGKILL: nobody catches it."""


class Disk:
    """`os` for a store: full at will, and whoever writes is killed before, in or after the write after `left` more."""

    def __init__(self) -> None:
        self.full, self.left, self.share = False, -1, "before"

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        if self.left == 0:
            if self.share != "before" and not self.full:
                os.write(fd, data if self.share == "after" else bytes(data)[: len(data) // 2])
            raise Killed
        self.left -= 1
        if self.full:
            raise OSError(28, os.strerror(28))
        return os.write(fd, data)


class World:
    """One ledger and one log; supervisors that follow each other. `saved` is what must be on record in the end."""

    def __init__(self, rig: Rig, disk: Disk) -> None:
        self.rig, self.disk = rig, disk
        os.mkdir(f"{rig.root}/ledger")
        self.folder = os.open(f"{rig.root}/ledger", os.O_RDONLY | os.O_DIRECTORY)
        self.saved: dict[str, list[int]] = {name: [] for name in "abc"}
        self.number = 0
        self.archive = rig.archive()
        self.ports = self.begin()

    def begin(self) -> Ports:
        self.archive.close()  # what a killed one had open
        self.archive = self.rig.archive()
        journal = Journal(self.archive.store(LOGS), None)
        none = cast("Any", None)
        ledger = Ledger(self.folder, lambda: 1.0)
        return Ports(none, none, none, journal, journal, ledger, none, none, none)

    def step(self, name: str, count: int) -> None:
        numbers = [self.number + n for n in range(count)]
        self.number += count
        records = [Record("info", "container.x", 1, (("n", n), ("for", ("y",)))) for n in numbers]
        with self.ports.journal.together() if self.number % 2 else nullcontext():
            self.ports.ledger.save(name, unsaid.noted(name, records, self.ports.log))
            self.saved[name] += numbers
            for record in records:
                unsaid.say(self.ports.journal, name, record)

    def follow(self) -> None:
        """Another takes the place of the one that was killed."""
        self.ports = self.begin()
        for name in sorted(self.ports.ledger.names(), reverse=self.number % 2 == 1):
            unsaid.recall(name, self.ports)

    def told(self, name: str) -> list[int]:
        return [one["n"] for one in self.rig.records(LOGS) if one.get("container") == name]

    def compress(self) -> None:
        if not cast("Journal", self.ports.log).waits:
            for stem in segments.closed(self.rig.log_dir, LOGS):
                if os.path.exists(f"{self.rig.root}/log/{LOGS}/{stem}{SUFFIX}"):
                    compress(self.rig.log_dir, LOGS, stem + SUFFIX, FORMATS[0])


@contextmanager
def world() -> Iterator[World]:
    disk = Disk()
    with Rig(segment=700) as rig, pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "os", disk)
        made = World(rig, disk)
        yield made
        made.archive.close()
        os.close(made.folder)


STEPS = st.tuples(st.just("step"), st.sampled_from("abc"), st.integers(0, 3))
DEATHS = st.tuples(st.just("die"), st.integers(0, 4), st.sampled_from(("before", "half", "after")))
OTHERS = st.tuples(st.sampled_from(("fill", "empty", "compress", "other")), st.none(), st.none())


@given(st.lists(STEPS | STEPS | DEATHS | OTHERS, max_size=30))
def test_every_record_that_was_saved_is_written_once_and_in_order(story: list[tuple[str, Any, Any]]) -> None:
    with world() as now:
        for what, how, more in story:
            try:
                if what == "step":
                    now.step(how, more)
                elif what == "die":
                    now.disk.left, now.disk.share = how, more
                elif what == "compress":
                    now.compress()
                elif what == "other":
                    now.ports.journal.record("info", "supervisor.note", text="of somebody else's")
                else:
                    now.disk.full = what == "fill"
            except Killed:
                now.disk.left = -1
                now.follow()
        now.disk.full, now.disk.left = False, -1
        now.follow()
        now.ports.journal.record("info", "supervisor.note", text="what is torn is cut by who writes next")
        assert {name: now.told(name) for name in "abc"} == now.saved


@given(
    st.lists(STEPS, min_size=1, max_size=6), st.integers(0, 8), st.sampled_from(("before", "half", "after"))
)
def test_who_follows_may_be_killed_at_it_too(story: list[tuple[str, Any, Any]], at: int, share: str) -> None:
    with world() as now:
        now.disk.full = True
        for _, name, count in story:
            now.step(name, count)
        now.disk.full = False
        for _ in range(4):
            now.disk.left, now.disk.share = at, share
            try:
                now.follow()
            except Killed:
                continue
        now.disk.left = -1
        now.follow()
        assert {name: now.told(name) for name in "abc"} == now.saved


def test_an_entry_stays_small_however_much_waits() -> None:
    with world() as now:
        now.disk.full = True
        for _ in range(unsaid.MOST):
            now.ports.journal.record("info", "cgroup.stat", "a", 1, percent=1.0)
            now.step("a", 2)
        entry = now.ports.ledger.load("a")
        assert entry
        assert len(entry.content[unsaid.KEY]["records"]) == unsaid.MOST + 2
        now.disk.full = False
        now.follow()
        assert now.told("a") == now.saved["a"][-unsaid.MOST - 2 :]


def test_in_a_log_that_was_taken_away_nothing_is_missing() -> None:
    with world() as now:
        now.step("a", 1)
        now.step("a", 1)
        os.unlink(f"{now.rig.root}/log/{LOGS}/current.jsonl")
        now.follow()
        assert now.told("a") == []


def test_in_another_log_folder_nothing_is_missing() -> None:
    with world() as now:
        now.disk.full = True
        now.step("a", 1)
        now.disk.full = False
        now.ports = now.begin()
        now.ports.ledger.logs = "/elsewhere"
        unsaid.recall("a", now.ports)
        assert now.told("a") == []


def _by_death(error: BaseException) -> bool:
    return not isinstance(error, Exception)  # a group of exceptions only would be one


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("written", [False, True])
def test_a_supervisor_killed_at_any_record_is_followed_by_one_that_writes_the_rest(
    stage: "Stage", make: "Callable[..., Container]", at: int, *, written: bool
) -> None:
    async def life(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        for run in (1, 2, 3):
            host.end("web", code=1)
            await host.seen("container.started", run + 1)

    async def nothing(host: "Host", fleet: Fleet) -> None:
        """It knows what its predecessor knew, and has done nothing yet."""

    whole = [record["event"] for record in stage.play(life, make(policy="always")).records]
    stage.host.ledger.forget("web")
    stage.host.records.clear()
    stage.host.alive.clear()
    stage.host.dies_at = at + written, written
    with pytest.raises(BaseExceptionGroup, check=_by_death):
        stage.play(life, make(policy="always"))
    stage.host.dies_at = None
    stage.play(nothing, make(policy="always"))
    told = stage.host.events()
    assert told == whole[: len(told)]
    assert len(told) > at


@pytest.mark.parametrize("killed", [False, True])
def test_the_end_of_one_that_is_declared_no_more_is_told_once(
    stage: "Stage", make: "Callable[..., Container]", *, killed: bool
) -> None:
    """Whether its keeper died before or after it could write the record, or nobody had heard of the end."""

    async def life(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        host.end("web", code=1)
        await trio.testing.wait_all_tasks_blocked()

    async def without(host: "Host", fleet: Fleet) -> None:
        for _ in range(2):
            await farewell(Ended("web", 1, 1, None), FakeOutput(host), host, host, host, host.ledger)

    if killed:
        stage.host.dies_at = 2, False
        with pytest.raises(BaseExceptionGroup, check=_by_death):
            stage.play(life, make(policy="never"))
        stage.host.dies_at = None
        assert "container.exited" not in stage.host.events()
    else:
        stage.play(life, make(policy="never"))
    stage.play(without, make("db"))
    (record,) = stage.host.of("container.exited")
    assert (record["container"], record["code"], record["reason"]) == ("web", 1, "exit")


def test_the_end_that_nobody_heard_of_is_told_once_too(
    stage: "Stage", make: "Callable[..., Container]"
) -> None:
    async def life(_host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")

    async def without(host: "Host", fleet: Fleet) -> None:
        for _ in range(2):
            await farewell(Ended("web", 1, 1, None), FakeOutput(host), host, host, host, host.ledger)

    stage.play(life, make())
    stage.play(without, make("db"))
    (record,) = stage.host.of("container.exited")
    assert (record["container"], record["code"], record["reason"]) == ("web", 1, "configuration")
