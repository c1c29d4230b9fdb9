"""Holds: the monitor asks nothing of a container it does not know, and its records need no cgroup to be told.

A folder of ordinary files cannot signal (EPERM): that is one warning; its first and last state are told.
"""

from pathlib import Path
from typing import Any

import trio
import trio.testing

from supervisor.core.readings import Cgroup, Reading
from supervisor.core.spec import Monitor
from supervisor.monitor.kernel import CgroupMonitor


def test_first_and_last_state_and_kills_are_told_also_where_nothing_signals(tmp_path: Path) -> None:
    records: list[tuple[str, str, int | None, dict[str, Any]]] = []

    def record(
        level: str, event: str, container: str | None = None, run: int | None = None, **fields: Any
    ) -> None:
        records.append((level, event, run, fields))

    def write(populated: int, kills: int) -> None:
        (tmp_path / "cgroup.events").write_text(f"populated {populated}\nfrozen 0\n")
        (tmp_path / "memory.events").write_text(f"oom 9\noom_kill {kills}\n")

    async def main() -> None:
        monitor = CgroupMonitor(record, Monitor())
        cgroup = Cgroup(str(tmp_path), str(tmp_path))
        write(1, 0)
        monitor.attach("web", 1, cgroup)
        write(0, 2)
        assert monitor.detach("web").oom_kill == 2
        write(1, 3)
        monitor.attach("web", 2, cgroup)
        latest = monitor.latest("web")
        assert latest is not None
        assert latest.oom_kill == 1
        assert monitor.detach("web").oom_kill == 1
        monitor.close()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    events = [
        (level, event, run, fields) for level, event, run, fields in records if event != "cgroup.unreadable"
    ]
    assert len(records) - len(events) == 2
    assert events == [
        ("info", "cgroup.events", 1, {"populated": True, "frozen": False}),
        ("warning", "memory.oom_kill", 1, {"count": 2, "total": 2}),
        ("info", "cgroup.events", 1, {"populated": False, "frozen": False}),
        ("warning", "memory.oom_kill", 2, {"count": 1, "total": 1}),
        ("info", "cgroup.events", 2, {"populated": True, "frozen": False}),
    ]


def test_an_unknown_container_has_no_reading(tmp_path: Path) -> None:
    async def main() -> None:
        monitor = CgroupMonitor(lambda *_, **__: None, Monitor())
        assert monitor.latest("web") is None
        assert monitor.detach("web") == Reading()
        monitor.close()

    trio.run(main)
