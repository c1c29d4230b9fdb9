"""What monitoring tells about a container, and where it looks, as frozen values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel counted for a container; per run, None where the kernel has no such file.

    Units are in the names (µs, bytes). `percent` is CPU use of one CPU over the last interval,
    `throttled_percent` the share of periods that were throttled in it. `quota_usec` None: no cap.
    `memory_peak` is None where the run stayed below an earlier run's peak in the same cgroup, too.
    Source: Documentation/admin-guide/cgroup-v2.rst, "CPU" and "Memory".
    """

    usage_usec: int = 0
    nr_periods: int = 0
    nr_throttled: int = 0
    throttled_usec: int = 0
    quota_usec: int | None = None
    period_usec: int | None = None
    percent: float = 0.0
    throttled_percent: float = 0.0
    memory_current: int | None = None
    memory_max: int | None = None
    memory_peak: int | None = None
    oom_kill: int | None = None
    pids_current: int | None = None


@dataclass(frozen=True, slots=True)
class Cgroup:
    """Absolute folders of one container's cgroup: `unified` (v2) and the one that has cpu.max
    or cfs_quota_us. On a pure v2 host both are the same.
    """

    unified: str
    cpu: str
