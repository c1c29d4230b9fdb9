"""Holds of a container with a user namespace of its own: its root is nobody on the machine, files of its root
directory and its bind mounts keep their owners on both sides, and what cannot be shown so refuses the start.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.kernel import libc, namespaces, process
from tests.support.running import Running, Supervise, has_ended, shell, until

pytestmark = pytest.mark.kernel

#: The default pool's first id.
FIRST = 524288


def ids(pid: int) -> tuple[int, int, int]:
    inside, first, count = Path(f"/proc/{pid}/uid_map").read_text().split()
    return int(inside), int(first), int(count)


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder as an operator has it: one file of root's, one of user 33's."""
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "roots").write_text("root's\n")
    (folder / "users").write_text("33's\n")
    os.chown(folder / "users", 33, 33)
    return folder


def bind(source: Path) -> list[dict[str, object]]:
    return [{"type": "bind", "source": source, "target": "/data"}]


def test_its_root_is_nobody_on_the_machine(supervise: Supervise) -> None:
    running = supervise({"one": shell("id -u; echo told; exec sleep 100000")})
    running.line("one", "told")  # by now `id` is gone
    assert running.lines("one") == ["0", "told"]
    pid = running.of("one")["pid"]
    inside, first, count = ids(pid)
    assert (inside, count) == (0, 65536)
    assert first >= FIRST
    assert {os.stat(f"/proc/{one}").st_uid for one in running.processes("one")} <= {
        0,
        first,
    }  # 0: undumpable PID 1
    status = dict(
        line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert status["Uid"].split() == [str(first)] * 4
    assert status["Gid"].split() == [str(first)] * 4
    assert status["Groups"].split() == [str(first)]


def test_no_two_containers_share_an_id(supervise: Supervise) -> None:
    names = [f"c{number}" for number in range(8)]
    running = supervise({name: shell("exec sleep 100000") for name in names})
    firsts = {ids(running.state(name, "running")["pid"])[1] for name in names}
    assert len(firsts) == len(names)


def test_files_it_makes_in_a_bind_mount_belong_to_the_same_user_on_the_machine(
    supervise: Supervise, shared: Path
) -> None:
    script = (
        "stat -c %u:%g /data/roots /data/users; touch /data/made; chown 33:33 /data/made; mkdir /data/folder"
    )
    running = supervise({"one": shell(script, mounts=bind(shared))})
    assert running.result("one") == ["0:0", "33:33"]
    owners = {path.name: (path.stat().st_uid, path.stat().st_gid) for path in shared.iterdir()}
    assert owners == {"roots": (0, 0), "users": (33, 33), "made": (33, 33), "folder": (0, 0)}


def test_another_user_makes_files_of_its_own(supervise: Supervise, shared: Path) -> None:
    running = supervise({"one": shell("touch /data/made", user="4242:4243", mounts=bind(shared))})
    running.result("one")
    made = (shared / "made").stat()
    assert (made.st_uid, made.st_gid) == (4242, 4243)


def test_the_root_directorys_files_keep_their_owners_in_every_mode(
    supervise: Supervise, busybox_root: Path
) -> None:
    modes = ("overlay", "persistent", "direct", "read-only")
    keys = {"rootfs": busybox_root, "user": "0:0"}
    running = supervise(
        {mode: shell("stat -c %u:%g /bin /bin/busybox", rootfs_mode=mode, **keys) for mode in modes}
    )
    for mode in modes:
        assert running.result(mode) == ["0:0", "0:0"]


def private_file(folder: Path) -> Iterator[Path]:
    """A file of the machine's own that only its root may read, where every container sees it."""
    path = folder / f"modoki-test-{os.getpid()}"
    path.touch(mode=0o600)
    path.write_text("secret\n")
    try:
        yield path
    finally:
        path.unlink()


@pytest.fixture
def secret() -> Iterator[Path]:
    yield from private_file(Path("/usr/local/share"))


def test_its_root_cannot_read_a_file_of_the_machine_that_only_root_may(
    supervise: Supervise, secret: Path
) -> None:
    script = f"cat {secret} 2>/dev/null && echo read || echo refused; stat -c %u {secret}"
    running = supervise({"private": shell(script), "host": shell(script, userns="host")})
    assert running.result("private") == ["refused", "65534"]
    assert running.result("host") == ["secret", "read", "0"]  # what the difference is


def test_a_kept_layer_is_there_at_the_next_run_and_at_the_next_start(
    supervise: Supervise, busybox_root: Path, tmp_path: Path
) -> None:
    keys = {"rootfs": busybox_root, "rootfs_mode": "persistent"}
    running = supervise.prepare(
        {"one": shell("cat /kept; stat -c %u /kept; echo more >>/kept; exit 0", **keys)},
        settings={"state_dir": tmp_path / "state"},
    )
    running.start()
    running.state("one", "exited")
    running.done("start", "one")
    running.state("one", "exited", run=2)
    running.stop()
    running.start()
    running.state("one", "exited", run=3)
    assert running.lines("one") == ["more", "0", "more", "more", "0"]
    assert not (busybox_root / "kept").exists()
    layers = tmp_path / "state/layers"
    assert layers.stat().st_mode & 0o777 == 0o700
    assert (layers / "one/upper/kept").stat().st_uid == 0


def test_a_file_system_that_cannot_map_ids_refuses_the_start_and_names_the_way_out(
    supervise: Supervise,
) -> None:
    """proc(5) is one in every kernel."""
    running = supervise({"one": shell("true", mounts=bind(Path("/proc/sys")))})
    failed = running.event("container.launch_failed", "one")
    assert (failed["stage"], failed["path"]) == ("mount", "/proc/sys")
    assert 'userns = "host"' in failed["hint"]


def test_a_user_outside_its_ids_is_refused(supervise: Supervise) -> None:
    running = supervise({"one": shell("true", user="70000")})
    failed = running.event("container.launch_failed", "one")
    assert failed["stage"] == "user"
    assert "65535" in failed["path"]


def test_it_binds_low_ports_as_any_user(supervise: Supervise) -> None:
    script = "perl -MIO::Socket::INET -e 'IO::Socket::INET->new(LocalPort => 80, Listen => 1) or die $!; print \"bound\\n\"'"
    running = supervise({"one": shell(script, user="4242")})
    assert running.result("one") == ["bound"]


# ── other keys of isolation ────────────────────────────────────────────────────────────


def test_its_clocks_run_ahead_as_declared(supervise: Supervise) -> None:
    running = supervise(
        {"one": shell("cut -d. -f1 /proc/uptime", time_offsets={"boottime": "365d", "monotonic": "1h"})}
    )
    (uptime,) = running.result("one")
    assert (
        0 <= int(uptime) - 365 * 86400 - float(Path("/proc/uptime").read_text().split()[0]) + 3600 <= 3600 * 2
    )


def test_a_declared_device_is_there_and_works_for_any_user_in_it(supervise: Supervise) -> None:
    device = "/dev/loop-control"
    if not os.path.exists(device):
        pytest.skip(f"no {device} here")
    script = "stat -c '%F %t:%T' /dev/loop-control; ls /dev | wc -l"
    running = supervise(
        {"one": shell(script, devices=[device], user="4242"), "two": shell("ls /dev | wc -l")}
    )
    seen = os.stat(device)
    kind = f"character special file {os.major(seen.st_rdev):x}:{os.minor(seen.st_rdev):x}"
    assert running.result("one")[0] == kind
    assert int(running.result("one")[1]) == int(running.result("two")[0]) + 1


def test_a_device_that_is_none_refuses_the_start(supervise: Supervise) -> None:
    running = supervise({"one": shell("true", devices=["/dev/shm"])})
    failed = running.event("container.launch_failed", "one")
    assert (failed["stage"], failed["path"]) == ("device", "/dev/shm")


def masked(running: Running, name: str) -> list[str]:
    return running.result(name)


def test_what_tells_of_the_machine_is_masked_and_stays_so_for_its_root(supervise: Supervise) -> None:
    script = (
        "cat /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c; ls /sys/firmware /sys/kernel | wc -w;"
        "echo x 2>/dev/null >/proc/sys/kernel/hostname && echo written; umount /proc/keys 2>/dev/null && echo undone;"
        "nproc"
    )
    running = supervise({"one": shell(script), "two": shell(script, userns="host")})
    cpus = str(len(os.sched_getaffinity(0)))
    assert masked(running, "one") == ["0", "2", cpus] or masked(running, "one") == ["0", "0", cpus]
    assert masked(running, "two") == masked(running, "one")


def test_limits_are_not_inherited_from_whoever_started_it(supervise: Supervise) -> None:
    running = supervise({"one": shell("ulimit -c; ulimit -n; ulimit -H -n")})
    core, soft, hard = running.result("one")
    assert (core, soft) == ("0", "1024")
    assert int(hard) <= 524288


def test_a_limit_above_what_root_may_give_is_refused_by_name(supervise: Supervise) -> None:
    probe = subprocess.run(["setpriv", "--dump"], capture_output=True, text=True, check=False)
    if "sys_resource" in probe.stdout.partition("Capability bounding set")[2]:
        pytest.skip("root may raise limits here")
    running = supervise({"one": shell("true", rlimits={"nofile": 1 << 30})})
    failed = running.event("container.launch_failed", "one")
    assert failed["stage"] == "rlimits"
    assert "nofile" in failed["path"]
    assert failed["hint"]


def test_who_is_born_to_make_a_namespace_has_ended_at_once_and_can_be_asked_for_it_all_the_same() -> None:
    """It shares the helper's descriptors: were the helper killed, whoever still had them would keep its lock."""
    before = process.block_signals()
    born = libc.clone_asleep(namespaces.FLAGS["user"])
    try:
        until(lambda: has_ended(Path(f"/proc/{born}")), "its end")
        Path(f"/proc/{born}/uid_map").write_text(f"0 {FIRST} 65536")
        assert ids(born) == (0, FIRST, 65536)
        assert os.readlink(f"/proc/{born}/ns/user") != os.readlink("/proc/self/ns/user")
    finally:
        os.waitpid(born, 0x40000000)  # __WALL
        process.unblock_signals(before)
