"""Holds on this machine's own kernel: throttling is seen where the host has it, an emptied cgroup is an
event and not a poll, a removed one troubles nobody, and the thousandth container costs little.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio

from supervisor.core.readings import Cgroup, Reading
from supervisor.core.spec import Monitor
from supervisor.kernel import cgroup as kernel
from supervisor.monitor.kernel import CgroupMonitor
from tests.support.running import PATIENCE, until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="cgroups of one's own need root"),
]

Records = list[tuple[str, str | None, dict[str, Any]]]


class Stage:
    """Cgroups made and processes forked into them, all gone at the end."""

    def __init__(self) -> None:
        layout = kernel.here()
        if not layout.unified:
            pytest.skip("this host has no cgroup v2 tree")
        tag = f"monitor-test-{os.getpid()}"
        self.unified = f"{layout.unified}/{tag}"
        self.cpu = f"{layout.v1['cpu']}/{tag}" if "cpu" in layout.v1 else self.unified
        self.pids: list[int] = []
        self.records: Records = []
        self.told = trio.Event()
        for folder in {self.unified, self.cpu}:
            os.mkdir(folder)
        if "cpu" not in layout.v1:
            with contextlib.suppress(Exception):  # no cpu controller here: `cap` will skip
                kernel.delegate(layout.unified)
                kernel.delegate(self.unified)

    def record(
        self, level: str, event: str, container: str | None = None, run: int | None = None, **fields: Any
    ) -> None:
        self.records.append((event, container, fields))
        self.told.set()
        self.told = trio.Event()

    async def until(self, true: Callable[[], object]) -> None:
        """Wait for the record that makes it so."""
        with trio.fail_after(PATIENCE):
            while not true():
                await self.told.wait()

    def make(self, name: str) -> Cgroup:
        made = Cgroup(f"{self.unified}/{name}", f"{self.cpu}/{name}")
        for folder in {made.unified, made.cpu}:
            os.mkdir(folder)
        return made

    def cap(self, cgroup: Cgroup) -> None:
        """10 % of a CPU."""
        if os.path.exists(f"{cgroup.cpu}/cpu.max"):
            kernel.write(cgroup.cpu, "cpu.max", "10000 100000")
        elif os.path.exists(f"{cgroup.cpu}/cpu.cfs_quota_us"):
            kernel.write(cgroup.cpu, "cpu.cfs_quota_us", "10000")
        else:
            pytest.skip("no cpu controller can be used here")

    def fork(self, cgroup: Cgroup, work: Callable[[], object]) -> int:
        child = os.fork()
        if child == 0:
            try:
                for folder in {cgroup.unified, cgroup.cpu}:
                    kernel.write(folder, "cgroup.procs", "0")
                work()
            finally:
                os._exit(0)
        self.pids.append(child)
        return child

    def end(self, pid: int) -> None:
        self.pids.remove(pid)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    def clean(self) -> None:
        for pid in list(self.pids):
            self.end(pid)
        for folder in {self.unified, self.cpu}:
            kernel.remove(folder)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, _, fields in self.records if name == event]

    def events(self, name: str) -> list[tuple[bool, bool]]:
        return [
            (fields["populated"], fields["frozen"])
            for event, container, fields in self.records
            if (event, container) == ("cgroup.events", name)
        ]


@pytest.fixture
def stage() -> Iterator[Stage]:
    made = Stage()
    try:
        yield made
    finally:
        made.clean()


def spin() -> None:
    while True:
        pass


def play(stage: Stage, settings: Monitor, act: Callable[[CgroupMonitor], Any]) -> None:
    async def main() -> None:
        monitor = CgroupMonitor(stage.record, settings)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(monitor.run)
                await act(monitor)
                nursery.cancel_scope.cancel()
        finally:
            monitor.close()

    trio.run(main)


#: An interval so long that whatever arrives was not sampled.
NEVER = Monitor(interval=3600.0)


def test_throttling_under_a_ten_percent_cap_is_seen_and_warned_of(stage: Stage) -> None:
    cgroup = stage.make("web")
    stage.cap(cgroup)

    async def act(monitor: CgroupMonitor) -> None:
        pid = stage.fork(cgroup, spin)
        monitor.attach("web", 1, cgroup)
        # Where the machine is so busy that others keep it below its cap, it is not throttled for a while.
        await stage.until(lambda: stage.of("cgroup.throttled"))
        (warning,) = stage.of("cgroup.throttled")
        latest = monitor.latest("web")
        assert latest is not None
        assert (latest.quota_usec, latest.period_usec) == (10_000, 100_000)
        assert 0 < warning["percent"] < 50  # without a cap it takes a whole CPU
        assert warning["throttled_percent"] > Monitor().throttled_percent
        assert warning["throttled_usec"] > 0
        assert 10 < int(warning["sufficient"].removesuffix("%")) <= 100 * (os.cpu_count() or 1)
        counted = len(stage.of("cgroup.stat"))
        await stage.until(lambda: len(stage.of("cgroup.stat")) >= counted + 2)
        assert stage.of("cgroup.throttled") == [warning]  # the next is due in a minute
        stage.end(pid)
        last = monitor.detach("web")
        assert last.usage_usec >= latest.usage_usec
        assert last.throttled_usec >= warning["throttled_usec"]

    play(stage, Monitor(interval=1.0), act)


def test_filling_and_emptying_are_events_without_polling(stage: Stage) -> None:
    cgroup = stage.make("web")

    async def act(monitor: CgroupMonitor) -> None:
        monitor.attach("web", 1, cgroup)
        assert stage.events("web") == []
        pid = stage.fork(cgroup, signal.pause)
        await stage.until(lambda: stage.events("web") == [(True, False)])
        stage.end(pid)
        await stage.until(lambda: stage.events("web") == [(True, False), (False, False)])
        again = stage.fork(cgroup, signal.pause)
        await stage.until(lambda: len(stage.events("web")) == 3)  # the read re-armed it
        stage.end(again)
        await stage.until(lambda: len(stage.events("web")) == 4)

    play(stage, NEVER, act)


def test_freezing_is_an_event_and_a_frozen_cgroup_can_be_read(stage: Stage) -> None:
    cgroup = stage.make("web")

    async def act(monitor: CgroupMonitor) -> None:
        stage.fork(cgroup, signal.pause)
        monitor.attach("web", 1, cgroup)
        await stage.until(lambda: stage.events("web") == [(True, False)])
        kernel.write(cgroup.unified, "cgroup.freeze", "1")
        await stage.until(lambda: stage.events("web")[-1] == (True, True))
        assert monitor.latest("web") is not None
        kernel.write(cgroup.unified, "cgroup.freeze", "0")
        await stage.until(lambda: stage.events("web")[-1] == (True, False))

    play(stage, NEVER, act)


def test_a_cgroup_removed_from_outside_leaves_the_others_watched_and_the_cpu_alone(stage: Stage) -> None:
    gone, web = stage.make("gone"), stage.make("web")

    async def act(monitor: CgroupMonitor) -> None:
        monitor.attach("gone", 1, gone)
        monitor.attach("web", 1, web)
        for folder in {gone.unified, gone.cpu}:
            os.rmdir(folder)
        await trio.sleep(0.05)
        began = time.process_time()
        await trio.sleep(0.5)
        assert time.process_time() - began < 0.4  # a removed cgroup signals for ever; nobody listens
        stage.fork(web, signal.pause)
        await stage.until(lambda: stage.events("web") == [(True, False)])
        assert isinstance(monitor.detach("gone"), Reading)

    play(stage, Monitor(interval=0.02), act)


def test_the_next_run_in_the_same_cgroup_counts_anew(stage: Stage) -> None:
    cgroup = stage.make("web")

    async def act(monitor: CgroupMonitor) -> None:
        monitor.attach("web", 1, cgroup)
        pid = stage.fork(cgroup, spin)
        until(lambda: int(kernel.read(cgroup.unified, "cpu.stat").split()[1]) > 50_000, "usage_usec")
        stage.end(pid)
        assert monitor.detach("web").usage_usec > 50_000
        monitor.attach("web", 2, cgroup)
        assert monitor.detach("web").usage_usec < 20_000

    play(stage, NEVER, act)


def test_a_process_lost_to_the_oom_killer_is_told_at_once(stage: Stage) -> None:
    cgroup = stage.make("web")
    if not os.path.exists(f"{cgroup.unified}/memory.max"):
        pytest.skip("no v2 memory controller here")
    kernel.write(cgroup.unified, "memory.max", str(16 << 20))

    async def act(monitor: CgroupMonitor) -> None:
        monitor.attach("web", 1, cgroup)
        stage.fork(cgroup, lambda: bytearray(os.urandom(1)) * (256 << 20))
        await stage.until(lambda: any(event == "memory.oom_kill" for event, _, _ in stage.records))
        assert monitor.detach("web").oom_kill == 1

    play(stage, NEVER, act)


def test_nothing_of_a_container_stays_open(stage: Stage) -> None:
    cgroup = stage.make("web")

    async def act(monitor: CgroupMonitor) -> None:
        before = os.listdir("/proc/self/fd")
        for run in range(1, 50):
            monitor.attach("web", run, cgroup)
            monitor.attach("web", run, cgroup)
            monitor.detach("web")
        monitor.release("web")
        assert os.listdir("/proc/self/fd") == before

    play(stage, NEVER, act)


def test_runs_that_follow_each_other_in_a_cgroup_have_its_files_in_common(stage: Stage) -> None:
    cgroup = stage.make("web")

    async def filled_and_emptied() -> None:
        told = len(stage.events("web"))
        pid = stage.fork(cgroup, signal.pause)
        await stage.until(lambda: stage.events("web")[told:] == [(True, False)])
        stage.end(pid)
        await stage.until(lambda: stage.events("web")[told:] == [(True, False), (False, False)])

    async def act(monitor: CgroupMonitor) -> None:
        monitor.attach("web", 1, cgroup)
        monitor.latest("web")
        before = os.listdir("/proc/self/fd")
        monitor.detach("web")
        stage.end(stage.fork(cgroup, signal.pause))  # is nobody's run
        monitor.attach("web", 2, cgroup)
        assert os.listdir("/proc/self/fd") == before
        await filled_and_emptied()
        monitor.detach("web")
        for folder in {
            cgroup.unified,
            cgroup.cpu,
        }:  # somebody else removes it, and one of the same name comes
            os.rmdir(folder)
        stage.make("web")
        monitor.attach("web", 3, cgroup)
        await filled_and_emptied()
        assert len(stage.events("web")) == 4

    play(stage, NEVER, act)


def test_what_cannot_be_opened_is_one_record_and_no_exception(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = stage.make("web")

    async def act(monitor: CgroupMonitor) -> None:
        def refuse(path: str, *_: object, **__: object) -> int:
            raise PermissionError(13, "Permission denied", path)

        with monkeypatch.context() as patched:
            patched.setattr(os, "open", refuse)
            monitor.attach("web", 1, cgroup)
        assert {event for event, _, _ in stage.records} == {"cgroup.unreadable"}
        assert monitor.latest("web") is None
        assert monitor.detach("web") == Reading()

    play(stage, NEVER, act)


def test_sampling_idle_containers_is_cheap(stage: Stage) -> None:
    """200 of them ten times a second are the reads of 2,000 at the default interval. The bound is in
    bare reads of the same files, so that it holds on slow machines too (about 4 times was measured);
    and the best of some tries counts, since whatever else the machine does makes them only dearer.
    """
    cgroups = [stage.make(str(number)) for number in range(200)]

    async def act(monitor: CgroupMonitor) -> None:
        for number, cgroup in enumerate(cgroups):
            monitor.attach(str(number), 1, cgroup)
        tries = [await dear() for _ in range(5)]
        assert min(tries) < 12, tries
        assert stage.records == []

    async def dear() -> float:
        """CPU time of half a second of sampling, in bare reads."""
        with contextlib.ExitStack() as opened:
            files = [os.open(f"{each.unified}/cpu.stat", os.O_RDONLY) for each in cgroups]
            for file in files:
                opened.callback(os.close, file)
            began = time.process_time()
            for file in files * 10:
                os.pread(file, 4096, 0)
            bare = time.process_time() - began
        began = time.process_time()
        await trio.sleep(0.5)
        return (time.process_time() - began) / bare

    play(stage, Monitor(interval=0.1), act)
