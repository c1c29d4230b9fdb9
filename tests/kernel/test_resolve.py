"""Holds of paths below a root: they resolve within it whatever links it holds, and whatever moves meanwhile."""

import multiprocessing
import os
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from supervisor.errors import KernelError
from supervisor.kernel import calls
from supervisor.kernel.program import Slot, run, slots
from tests.support.running import PATIENCE

pytestmark = pytest.mark.kernel

TRIES = 20_000


def _rename_for_ever(folder: str, begun: Event) -> None:
    begun.set()
    while True:
        os.rename(f"{folder}/a", f"{folder}/b")
        os.rename(f"{folder}/b", f"{folder}/a")


def _resolve(root: int, path: str) -> int:
    held = slots(2)
    held[1] = root
    run((calls.resolve(Slot(1), path, os.O_PATH, keep=Slot(2)),), held)
    return held[2]


def test_renames_elsewhere_do_not_disturb_a_link_that_leads_up(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/release").write_text("x")
    (tmp_path / "etc/release").symlink_to("../usr/release")
    (tmp_path / "a").write_text("")
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    spawn = multiprocessing.get_context("spawn")
    begun = spawn.Event()
    renaming = spawn.Process(target=_rename_for_ever, args=(str(tmp_path), begun))
    renaming.start()
    try:
        assert begun.wait(PATIENCE)
        for _ in range(TRIES):
            os.close(_resolve(root, "/etc/release"))
    finally:
        renaming.kill()
        renaming.join()
        renaming.close()
        os.close(root)


@pytest.mark.parametrize(
    "target", ["/etc/shadow", "../../../../../../etc/shadow", "/proc/self/root/etc/shadow"]
)
def test_a_link_to_the_hosts_file_does_not_reach_it(tmp_path: Path, target: str) -> None:
    (tmp_path / "passwd").symlink_to(target)
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(KernelError):
            _resolve(root, "/passwd")
    finally:
        os.close(root)


def test_what_is_missing_of_a_mount_point_is_made_below_the_root(tmp_path: Path) -> None:
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    try:
        held = slots(3)
        held[1] = root
        for path, directory in (("/a/b/c", True), ("/a/b/file", False)):
            run(calls.place(Slot(1), path, directory=directory, keep=Slot(2), other=Slot(3)), held)
            assert os.readlink(f"/proc/self/fd/{held[2]}") == f"{tmp_path}{path}"
            os.close(held[2])
    finally:
        os.close(root)
    assert (tmp_path / "a/b/c").is_dir()
    assert (tmp_path / "a/b/file").is_file()
