"""Holds: counters are per run, whoever had the cgroup before; idle containers write nothing; a cgroup
that vanishes troubles nobody else. The cgroups are folders of ordinary files, the clock is trio's mock.
"""

import itertools
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import trio
import trio.testing

from supervisor.core.readings import Cgroup, Reading
from supervisor.core.spec import Monitor
from supervisor.monitor.sample import Sampler

Records = list[tuple[str, str, str | None, int | None, dict[str, Any]]]


class Stage:
    """A sampler under way, and what it recorded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: Records = []
        self.sampler = Sampler(self.record, Monitor(), trio.current_time, cpus=2)

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Any
    ) -> None:
        self.records.append((level, event, container, run, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for _, name, _, _, fields in self.records if name == event]

    def write(self, name: str, usage: int, periods: int = 0, throttled: int = 0, stood: int = 0) -> Cgroup:
        """A v2 cgroup as the kernel would show it."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "cpu.stat").write_text(
            f"usage_usec {usage}\nuser_usec {usage}\nsystem_usec 0\n"
            f"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec {stood}\n"
        )
        for file, text in (("cpu.max", "10000 100000"), ("memory.max", "max"), ("memory.current", "4096")):
            (folder / file).write_text(text + "\n")
        return Cgroup(str(folder), str(folder))

    def latest(self, name: str) -> Reading:
        found = self.sampler.latest(name)
        assert found is not None
        return found


def play(tmp_path: Path, act: Callable[[Stage], Awaitable[None]]) -> Stage:
    """Run `act` beside the sampler; ticks fall on whole seconds, act begins at 0.1."""
    stage = Stage(tmp_path)
    before = len(os.listdir("/proc/self/fd"))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.sampler.run)
            await trio.sleep(0.1)
            await act(stage)
            nursery.cancel_scope.cancel()
        stage.sampler.close()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert len(os.listdir("/proc/self/fd")) == before
    return stage


def test_a_reading_has_what_the_interval_brought(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        stage.write("web", 90_000, periods=9, throttled=3, stood=500)
        await trio.sleep(1)
        assert stage.latest("web") == Reading(
            usage_usec=90_000,
            nr_periods=9,
            nr_throttled=3,
            throttled_usec=500,
            quota_usec=10_000,
            period_usec=100_000,
            percent=10.0,
            throttled_percent=33.33,
            memory_current=4096,
        )

    play(tmp_path, act)


def test_an_idle_container_writes_nothing(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        await trio.sleep(100)

    assert play(tmp_path, act).records == []


def test_going_idle_is_one_more_record_and_then_silence(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        await trio.sleep(1)
        stage.write("web", 500_000)
        await trio.sleep(100)

    stage = play(tmp_path, act)
    assert [(fields["usage_usec"], fields["percent"]) for fields in stage.named("cgroup.stat")] == [
        (500_000, 50.0),
        (500_000, 0.0),
    ]
    assert stage.records[0][:4] == ("info", "cgroup.stat", "web", 1)


def test_the_next_run_in_the_same_cgroup_counts_from_where_the_last_one_ended(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        cgroup = stage.write("web", 0)
        stage.sampler.attach("web", 1, cgroup)
        stage.write("web", 1000, periods=4, throttled=2, stood=50)
        first = stage.sampler.detach("web")
        assert first is not None
        assert (first.usage_usec, first.nr_periods) == (1000, 4)
        stage.write("web", 1500, periods=5, throttled=2, stood=60)
        stage.sampler.attach("web", 2, cgroup)
        second = stage.sampler.detach("web")
        assert second is not None
        assert (second.usage_usec, second.nr_periods, second.nr_throttled, second.throttled_usec) == (
            500,
            1,
            0,
            10,
        )

    play(tmp_path, act)


def test_a_new_cgroup_of_the_same_name_counts_from_zero(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        cgroup = stage.write("web", 1000)
        stage.sampler.attach("web", 1, cgroup)
        stage.sampler.detach("web")
        os.rename(cgroup.unified, tmp_path / "old")  # keeps the inode taken, as cgroupfs does
        stage.write("web", 300)
        stage.sampler.attach("web", 2, cgroup)
        found = stage.sampler.detach("web")
        assert found is not None
        assert found.usage_usec == 300

    play(tmp_path, act)


def test_a_run_taken_over_keeps_its_counts_but_not_an_absurd_percent(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 7, stage.write("web", 3_600_000_000, periods=100, throttled=90))
        found = stage.sampler.detach("web")
        assert found is not None
        assert (found.usage_usec, found.percent, found.throttled_percent) == (3_600_000_000, 0.0, 0.0)

    play(tmp_path, act)


def test_the_last_reading_is_over_the_whole_run(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        await trio.sleep(10)
        stage.write("web", 1_000_000, periods=100, throttled=50)
        found = stage.sampler.detach("web")
        assert found is not None
        assert (found.percent, found.throttled_percent) == (10.0, 50.0)
        assert stage.sampler.latest("web") is None

    assert len(play(tmp_path, act).named("cgroup.stat")) == 1


def test_throttling_is_warned_of_with_a_cap_that_would_have_done(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        await trio.sleep(1)
        for second in range(1, 62):
            stage.write("web", 100_000 * second, 10 * second, 10 * second, 250_000 * second)
            await trio.sleep(1)

    stage = play(tmp_path, act)
    warnings = stage.named("cgroup.throttled")
    assert [warning["count"] for warning in warnings] == [1, 60]
    assert warnings[0] == {
        "percent": 10.0,
        "throttled_percent": 100.0,
        "nr_periods": 10,
        "nr_throttled": 10,
        "throttled_usec": 250_000,
        "quota_usec": 10_000,
        "period_usec": 100_000,
        "sufficient": "35%",
        "count": 1,
    }


def test_on_a_hybrid_host_throttling_and_cap_come_from_v1(tmp_path: Path) -> None:
    unified, cpu = tmp_path / "unified", tmp_path / "cpu"
    for folder in (unified, cpu):
        folder.mkdir()
    (unified / "cpu.stat").write_text("usage_usec 70\n")
    (cpu / "cpu.stat").write_text("nr_periods 8\nnr_throttled 2\nthrottled_time 9000\n")
    (cpu / "cpu.cfs_quota_us").write_text("10000\n")
    (cpu / "cpu.cfs_period_us").write_text("100000\n")

    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, Cgroup(str(unified), str(cpu)))
        found = stage.latest("web")
        assert (found.usage_usec, found.nr_periods, found.throttled_usec) == (70, 8, 9)
        assert (found.quota_usec, found.period_usec, found.memory_current) == (10000, 100000, None)

    play(tmp_path, act)


def test_a_container_without_a_cgroup_reads_zero_and_the_others_go_on(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("gone", 1, Cgroup(str(tmp_path / "none"), ""))
        stage.sampler.attach("web", 1, stage.write("web", 0))
        stage.write("web", 250_000)
        await trio.sleep(1)
        assert stage.latest("gone") == Reading()
        assert stage.latest("web").usage_usec == 250_000

    play(tmp_path, act)


def test_a_cgroup_that_vanishes_keeps_its_last_reading(tmp_path: Path) -> None:
    """ENODEV is what the kernel answers then; a closed pipe stands in for it on ordinary files."""

    async def act(stage: Stage) -> None:
        stage.sampler.attach("gone", 1, stage.write("gone", 0))
        stage.sampler.attach("web", 1, stage.write("web", 0))
        for name in ("gone", "web"):
            stage.write(name, 250_000)
        await trio.sleep(1)
        assert stage.latest("gone").memory_current == 4096
        shutil.rmtree(tmp_path / "gone")
        leaf = stage.sampler._runs["gone"].leaf
        assert leaf._levels
        for file in (*leaf._counting, *leaf._levels):
            reading, writing = os.pipe()
            os.dup2(reading, file.fd)  # pread of a pipe fails (ESPIPE)
            os.close(reading)
            os.close(writing)
        stage.write("web", 500_000)
        await trio.sleep(1)
        assert stage.latest("gone").usage_usec == 250_000
        assert stage.latest("web").usage_usec == 500_000
        found = stage.sampler.detach("gone")
        assert found is not None
        assert (found.usage_usec, found.memory_current) == (250_000, 4096)

    play(tmp_path, act)


def test_limits_and_amounts_are_looked_for_once_somebody_asks_and_never_in_another_cgroup(
    tmp_path: Path,
) -> None:
    async def act(stage: Stage) -> None:
        for name in ("web", "db"):
            stage.sampler.attach(name, 1, stage.write(name, 0))
        assert stage.latest("web").quota_usec == 10000
        shutil.rmtree(tmp_path / "db")
        stage.write("db", 0)
        assert stage.latest("db").quota_usec is None

    play(tmp_path, act)


def test_attaching_anew_ends_the_run_before(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        cgroup = stage.write("web", 0)
        stage.sampler.attach("web", 1, cgroup)
        stage.write("web", 40)
        stage.sampler.attach("web", 2, cgroup)
        assert stage.latest("web").usage_usec == 0

    assert [record[3] for record in play(tmp_path, act).records] == [1]


def test_a_batch_larger_than_one_turn_is_sampled_whole(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        for number in range(250):
            stage.sampler.attach(f"web.{number}", 1, stage.write(f"web.{number}", 0))
        for number in range(250):
            stage.write(f"web.{number}", 10_000)
        await trio.sleep(1)

    assert len(play(tmp_path, act).named("cgroup.stat")) == 250


def test_a_machine_too_slow_for_the_interval_samples_as_it_can(tmp_path: Path) -> None:
    """The clock goes on between any two looks at it."""
    stage = Stage(tmp_path)
    looks = itertools.count()
    stage.sampler = Sampler(stage.record, Monitor(), lambda: 0.7 * next(looks))

    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        stage.write("web", 1000)
        await trio.sleep(10)
        assert stage.latest("web").usage_usec == 1000

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stage.sampler.run)
            await act(stage)
            nursery.cancel_scope.cancel()
        stage.sampler.close()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_where_descriptors_are_scarce_files_are_opened_for_each_look(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler = Sampler(stage.record, Monitor(), trio.current_time, cpus=2, keep=False)
        before = len(os.listdir("/proc/self/fd"))
        stage.sampler.attach("web", 1, stage.write("web", 1000))
        assert len(os.listdir("/proc/self/fd")) == before
        stage.write("web", 1500)
        last = stage.sampler.detach("web")
        assert last is not None
        assert (last.usage_usec, last.quota_usec, last.memory_current) == (1500, 10000, 4096)

    play(tmp_path, act)


def test_a_run_counts_until_nobody_is_left(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        stage.write("web", 5000)
        stage.sampler.populated("web", False)
        stage.write("web", 9000)
        last = stage.sampler.detach("web")
        assert last is not None
        assert last.usage_usec == 5000

    play(tmp_path, act)


def test_whoever_comes_when_nobody_was_left_counts_too(tmp_path: Path) -> None:
    async def act(stage: Stage) -> None:
        stage.sampler.attach("web", 1, stage.write("web", 0))
        stage.sampler.populated("web", False)
        stage.sampler.populated("web", True)
        stage.write("web", 9000)
        await trio.sleep(1)
        last = stage.sampler.detach("web")
        assert last is not None
        assert last.usage_usec == 9000

    play(tmp_path, act)
