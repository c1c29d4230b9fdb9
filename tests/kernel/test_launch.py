"""Holds of what cannot be started: it is said once and plainly, with the step, the error and the path; nothing
of it ran, nothing of it is left, and what else is declared runs on.
"""

import errno
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Record, Running, Supervise, cgroup_mounts, job, shell

pytestmark = pytest.mark.kernel

HYBRID = any(mount.name == "memory" for mount in cgroup_mounts())


def refused(supervise: Supervise, state: str = "failed", **keys: Any) -> tuple[Running, Record]:
    """The supervisor and the record of a launch that did not succeed, beside one that did."""
    running = supervise({"bad": keys, "good": shell("echo ran")})
    assert running.result("good") == ["ran"]
    running.state("bad", state)
    return running, running.event("container.launch_failed", "bad")


def test_a_program_that_an_empty_root_does_not_have_is_named(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    running, record = refused(supervise, **job("/bin/true", rootfs=tmp_path / "empty", restart="on-failure"))
    assert (record["stage"], record["errno"], record["path"]) == ("exec", errno.ENOENT, "/bin/true")
    assert record["run"] == 1
    assert running.of("bad")["run"] == 1  # what is not there will not be there at a second try
    assert running.events("container.failed", "bad")
    assert "/bin/true" in running.done("inspect", "bad")


def test_an_empty_root_is_left_empty(supervise: Supervise, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(supervise, **job("/bin/true", rootfs=tmp_path / "empty"))
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_missing_interpreter_is_told_from_a_missing_program(
    supervise: Supervise, busybox_root: Path
) -> None:
    program = busybox_root / "bin/program"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    _, record = refused(supervise, **job("/bin/program", rootfs=busybox_root))
    assert (record["stage"], record["errno"], record["path"]) == ("exec", errno.ENOENT, "/bin/program")
    assert "interpreter" in record["hint"]


def test_a_file_that_may_not_be_executed_is_no_program(supervise: Supervise, busybox_root: Path) -> None:
    (busybox_root / "bin/program").write_text("#!/bin/sh\n")
    _, record = refused(supervise, **job("/bin/program", rootfs=busybox_root))
    assert (record["stage"], record["errno"], record["path"]) == ("exec", errno.EACCES, "/bin/program")


def test_a_user_the_root_does_not_know_is_never_root(supervise: Supervise, busybox_root: Path) -> None:
    _, record = refused(supervise, **shell("id", rootfs=busybox_root, user="nobody-here"))
    assert (record["stage"], record["errno"]) == ("user", errno.ENOENT)
    assert "nobody-here" in record["path"]


def test_a_group_the_root_does_not_know_is_refused(supervise: Supervise, busybox_root: Path) -> None:
    _, record = refused(supervise, **shell("id", rootfs=busybox_root, groups=["no-such-group"]))
    assert record["stage"] == "user"
    assert "no-such-group" in record["path"]


def test_a_working_directory_that_is_not_there_is_refused(supervise: Supervise, busybox_root: Path) -> None:
    _, record = refused(supervise, **shell("pwd", rootfs=busybox_root, workdir="/no/such"))
    assert (record["stage"], record["errno"], record["path"]) == ("workdir", errno.ENOENT, "/no/such")


def test_a_mount_source_that_has_gone_is_refused(
    supervise: Supervise, busybox_root: Path, tmp_path: Path
) -> None:
    source = tmp_path / "gone"
    source.mkdir()
    mount = {"type": "bind", "source": source, "target": "/srv"}
    running = supervise({"one": shell("echo ran", rootfs=busybox_root, mounts=[mount])})
    running.result("one")
    source.rmdir()
    done = running.call("start", "one")
    assert (done.returncode, done.stdout) == (1, "")
    record = running.event("container.launch_failed", "one")
    assert (record["stage"], record["errno"], record["path"]) == ("mount", errno.ENOENT, str(source))
    assert str(source) in done.stderr


def test_a_resource_limit_that_root_may_not_raise_is_refused(supervise: Supervise) -> None:
    # Above fs.nr_open even CAP_SYS_RESOURCE does not help.
    most = int(Path("/proc/sys/fs/nr_open").read_text())
    _, record = refused(supervise, **shell("ulimit -n", rlimits={"nofile": most + 1}))
    assert (record["stage"], record["errno"]) == ("rlimits", errno.EPERM)
    assert f"nofile={most + 1}" in record["path"]


@pytest.mark.skipif(not HYBRID, reason="memory is a v2 controller here")
@pytest.mark.parametrize("key", ["memory.max", "memory.high"])
def test_a_limit_whose_controller_is_missing_is_refused_with_its_cure(supervise: Supervise, key: str) -> None:
    running, record = refused(supervise, **shell("echo ran", cgroup={key: "64MiB"}))
    assert record["stage"] == "cgroup"
    text = f"{record['path']} {record['hint']}"
    assert key in text
    assert "v1" in text or "cgroup2" in text or "cgroup_no_v1" in text or "unified_cgroup_hierarchy" in text
    assert running.events("container.started", "bad") == []
    assert not (running.log_dir / "bad").exists() or running.records("bad") == []


@pytest.mark.skipif(not HYBRID, reason="memory is a v2 controller here")
def test_the_machines_own_memory_hierarchy_is_left_alone(supervise: Supervise) -> None:
    running, _ = refused(supervise, **shell("echo ran", cgroup={"memory.max": "64MiB"}))
    assert not [folder for folder in running.cgroups() if "memory" in folder.parts]


def test_a_failed_launch_is_tried_again_when_the_operator_has_mended_it(
    supervise: Supervise, busybox_root: Path
) -> None:
    running, _ = refused(supervise, **job("/bin/late", rootfs=busybox_root))
    (busybox_root / "bin/late").write_text("#!/bin/sh\necho mended\n")
    (busybox_root / "bin/late").chmod(0o755)
    assert running.done("start", "bad") == ""
    assert running.state("bad", "exited", run=2)["run"] == 2
    assert running.lines("bad") == ["mended"]


@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_a_link_where_the_kernels_own_folders_go_is_refused_and_not_followed(
    supervise: Supervise, busybox_root: Path, tmp_path: Path, name: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (busybox_root / name).rmdir() if (busybox_root / name).exists() else None
    (busybox_root / name).symlink_to(outside)
    _, record = refused(supervise, **shell("echo ran", rootfs=busybox_root, rootfs_mode="direct"))
    assert (record["errno"], record["path"]) == (errno.ELOOP, f"/{name}")
    assert "symbolic link" in record["hint"]
    assert not list(outside.iterdir())


def test_a_mount_target_that_leads_out_of_the_root_makes_nothing_outside(
    supervise: Supervise, busybox_root: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (busybox_root / "data").symlink_to(outside)
    mount = {"type": "tmpfs", "target": "/data/a/b"}
    _, record = refused(
        supervise, **shell("echo ran", rootfs=busybox_root, rootfs_mode="direct", mounts=[mount])
    )
    assert record["stage"] == "mount"
    assert not list(outside.iterdir())


def test_a_user_that_is_added_to_the_root_is_found_by_the_next_run(
    supervise: Supervise, busybox_root: Path
) -> None:
    passwd = busybox_root / "etc/passwd"
    passwd.write_text("keeper:x:4242:4243::/srv:/bin/sh\n")
    running = supervise({"who": shell("id -u; id -g", rootfs=busybox_root, user="keeper", restart="never")})
    assert running.result("who") == ["4242", "4243"]
    passwd.write_text("keeper:x:4244:4245::/srv:/bin/sh\n")
    running.done("start", "who")
    running.state("who", "exited", run=2)
    assert running.lines("who")[-2:] == ["4244", "4245"]
    passwd.write_text("other:x:1:1::/:/bin/sh\n")
    running.call("start", "who")
    assert running.event("container.launch_failed", "who")["stage"] == "user"
    passwd.write_text("keeper:x:4246:4247::/srv:/bin/sh\n")
    running.call("start", "who")
    running.state("who", "exited", run=4)
    assert running.lines("who")[-2:] == ["4246", "4247"]
