"""Holds of senders: who speaks for a container is told by the kernel's word alone."""

import os
import subprocess
from pathlib import Path

from supervisor.probes.senders import IDS, belongs, outside

GONE = 1 << 22  # past the kernel's greatest PID (PID_MAX_LIMIT)


def own() -> tuple[str, str]:
    """Our own cgroup: the one that it is in, and its name."""
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    path = next(line.removeprefix("0::") for line in lines if line.startswith("0::"))
    folder, _, name = path.rpartition("/")
    return folder, name


def test_a_process_in_the_cgroup_of_that_name_beside_ours_belongs_and_no_other() -> None:
    _, name = own()
    assert belongs(os.getpid(), 0, name, -1)
    assert not belongs(os.getpid(), 0, f"{name}x", -1)
    assert not belongs(os.getpid(), 70000, "another", 65536)  # whatever its ids: there it can be seen


def test_who_is_gone_is_known_by_an_id_that_nobody_else_has() -> None:
    assert belongs(GONE, 65536, "web", 65536)
    assert belongs(GONE, 65536 + IDS - 1, "web", 65536)
    assert not belongs(GONE, 65536 + IDS, "web", 65536)
    assert not belongs(GONE, 0, "web", 65536)
    assert not belongs(GONE, 0, "web", -1)
    assert not belongs(0, 0, "web", -1)


def test_a_process_is_found_by_its_number_in_its_own_namespace(tmp_path: Path) -> None:
    with subprocess.Popen(["/bin/sleep", "1000000"]) as process:
        (tmp_path / "cgroup.procs").write_text(f"{process.pid}\n{GONE}\n")
        assert outside(str(tmp_path), process.pid) == process.pid  # the same namespace
        assert outside(str(tmp_path), os.getpid()) is None
        process.kill()
    assert outside(str(tmp_path / "nowhere"), 1) is None
