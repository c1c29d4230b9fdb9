"""Reads what the kernel counts for every container, once an interval.

Laws:
- Counters are per run. The cgroup may be reused by the container's next run, so a run counts
  from where the previous one ended if the folder is the same inode, else from zero.
- `percent` and `throttled_percent` are over the last interval; in the last reading of a run,
  over the time it was attached.
- `cgroup.stat` is recorded when one of its fields changed since the last record: a container
  that goes idle writes one more (0 %), and then nothing.
- A cgroup that vanishes keeps its last reading; the others go on.
"""

import os
from collections.abc import Callable
from typing import NamedTuple

import trio

from supervisor.core.readings import Cgroup, Reading
from supervisor.core.spec import Monitor
from supervisor.monitor.files import Record
from supervisor.monitor.leaf import Counters, Ended, Leaf
from supervisor.monitor.throttle import Throttle, sufficient

#: So many containers are read before other tasks get their turn (a millisecond or two).
BATCH = 100


class Shares(NamedTuple):
    percent: float = 0.0
    throttled_percent: float = 0.0

    @classmethod
    def of(cls, used: Counters, elapsed: float) -> "Shares":
        return cls(
            round(used.usage_usec / elapsed / 1e4, 2) if elapsed > 0 else 0.0,
            round(100 * used.nr_throttled / used.nr_periods, 2) if used.nr_periods else 0.0,
        )


IDLE = Shares()


class Run:
    """A run being sampled. `base` is where it counts from, `seen` the last sample, `recorded` the last record."""

    __slots__ = (
        "base",
        "began",
        "began_at",
        "leaf",
        "name",
        "over",
        "peak_before",
        "recorded",
        "run",
        "seen",
        "seen_at",
        "shares",
        "throttle",
    )

    def __init__(self, name: str, run: int, leaf: Leaf, before: Ended | None, now: float) -> None:
        self.name, self.run, self.leaf = name, run, leaf
        self.over = False  # nobody is left in its cgroup, and the last of it has been read
        leaf.refresh()
        self.base = leaf.baseline(before)
        self.peak_before = leaf.peak_before(before)
        # A run that is taken over after a crash has long counted: shares are from here on.
        self.began = self.seen = leaf.counters()
        self.began_at = self.seen_at = now
        self.shares = Shares()
        self.recorded = (Counters(), Shares())
        self.throttle = Throttle()

    def sample(self, now: float) -> Counters | None:
        """Read what counts; what the interval brought, or None if it was as quiet as the one before."""
        changed = self.leaf.refresh()
        elapsed, self.seen_at = now - self.seen_at, now
        if not changed and self.shares == IDLE:
            return None
        counters = self.leaf.counters()
        used, self.seen = counters.since(self.seen), counters
        self.shares = Shares.of(used, elapsed)
        return used

    def last(self, now: float) -> None:
        """A sample over the whole time it was attached."""
        self.leaf.refresh()
        self.leaf.refresh_levels()
        self.seen, self.over = self.leaf.counters(), True
        self.shares = Shares.of(self.seen.since(self.began), now - self.began_at)

    def unrecorded(self) -> tuple[Counters, Shares] | None:
        """The fields of the record that is due; None if the last one said the same."""
        found = (self.seen.since(self.base), self.shares)
        if found == self.recorded:
            return None
        self.recorded = found
        return found

    def reading(self, oom_kill: int | None = None) -> Reading:
        """The last sample, with limits and amounts as they are now. `oom_kill` is counted elsewhere."""
        if not self.over:
            self.leaf.refresh_levels()
        get = self.leaf.values.get
        peak = get("memory_peak")
        return Reading(
            **self.seen.since(self.base)._asdict(),
            **self.shares._asdict(),
            quota_usec=get("quota_usec"),
            period_usec=get("period_usec"),
            memory_current=get("memory_current"),
            memory_max=get("memory_max"),
            memory_peak=peak if peak is not None and peak > self.peak_before else None,
            pids_current=get("pids_current"),
            oom_kill=oom_kill,
        )


class Sampler:
    def __init__(
        self,
        record: Record,
        settings: Monitor,
        clock: Callable[[], float],
        cpus: int | None = None,
        *,
        keep: bool = True,
    ) -> None:
        """`keep`: files stay open between two looks."""
        self._record, self._keep = record, keep
        self._settings = settings
        self._clock = clock
        self._cpus = cpus or os.cpu_count() or 1
        self._runs: dict[str, Run] = {}
        self._ended: dict[str, Ended] = {}
        self._idle: dict[str, Leaf] = {}  # of runs that have ended: the next one may be in the same cgroup
        self._configured = trio.Event()

    def configure(self, settings: Monitor) -> None:
        self._settings = settings
        self._configured.set()

    def attach(self, name: str, run: int, cgroup: Cgroup) -> None:
        """Sample this run from now on. OSError: its files could not be opened."""
        self.detach(name)
        leaf = self._idle.pop(name, None)
        if leaf is None or not leaf.serves(cgroup):
            if leaf is not None:
                leaf.close()
            leaf = Leaf(cgroup, keep=self._keep)
        self._runs[name] = Run(name, run, leaf, self._ended.pop(name, None), self._clock())

    def detach(self, name: str, oom_kill: int | None = None) -> Reading | None:
        """The reading of the whole run, recorded if it says something new; None: not attached."""
        run = self._runs.pop(name, None)
        if run is None:
            return None
        if not run.over:
            run.last(self._clock())
        reading = run.reading(oom_kill)
        self._ended[name] = run.leaf.ended()
        self._idle[name] = run.leaf
        self._tell(run)
        return reading

    def populated(self, name: str, populated: bool) -> None:
        """Whether anybody is in its cgroup: nothing counts for a run any more once nobody is, unless somebody comes."""
        run = self._runs.get(name)
        if run is None:
            return
        run.over = False
        if not populated:
            run.last(self._clock())

    def release(self, name: str) -> None:
        """Its cgroup is going: let go of what is open there."""
        leaf = self._idle.pop(name, None)
        if leaf is not None:
            leaf.close()

    def latest(self, name: str, oom_kill: int | None = None) -> Reading | None:
        run = self._runs.get(name)
        return run.reading(oom_kill) if run else None

    def close(self) -> None:
        for leaf in (*(run.leaf for run in self._runs.values()), *self._idle.values()):
            leaf.close()
        self._runs.clear()
        self._idle.clear()

    async def run(self) -> None:
        """Sample all at the interval, until cancelled. A tick that came too late is not made up for."""
        due = self._clock()
        while True:
            now = self._clock()
            due += self._settings.interval
            if due <= now:  # too slow for the interval: leave ticks out, and the others their turn
                due = now + self._settings.interval
            with trio.move_on_after(due - now):
                await self._configured.wait()
                self._configured, due = trio.Event(), self._clock()
                continue
            for count, run in enumerate(tuple(self._runs.values()), start=1):
                if self._runs.get(run.name) is run:  # not detached meanwhile
                    self._sample(run)
                if count % BATCH == 0:
                    await trio.lowlevel.checkpoint()

    def _sample(self, run: Run) -> None:
        now = self._clock()
        elapsed = now - run.seen_at
        if run.over or elapsed < self._settings.interval / 2:
            return  # over, or just attached: shares of so short a time would mislead
        used = run.sample(now)
        if used is None:
            return
        self._tell(run)
        above = run.shares.throttled_percent > self._settings.throttled_percent
        if count := run.throttle.due(now, above=above):
            self._warn(run, used, elapsed, count)

    def _tell(self, run: Run) -> None:
        if (found := run.unrecorded()) is not None:
            counters, shares = found
            self._record("info", "cgroup.stat", run.name, run.run, **counters._asdict(), **shares._asdict())

    def _warn(self, run: Run, used: Counters, elapsed: float, count: int) -> None:
        reading = run.reading()
        self._record(
            "warning",
            "cgroup.throttled",
            run.name,
            run.run,
            **run.shares._asdict(),
            nr_periods=used.nr_periods,
            nr_throttled=used.nr_throttled,
            throttled_usec=used.throttled_usec,
            quota_usec=reading.quota_usec,
            period_usec=reading.period_usec,
            sufficient=sufficient(used, reading, elapsed, self._cpus),
            count=count,
        )
