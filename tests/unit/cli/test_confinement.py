"""What /proc says of a container is read as it stands, of the right process, and shown in short lines."""

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from supervisor.cli import confined, confinement, procfs

STATUS = """\
Name:\tnginx
Umask:\t0022
State:\tS (sleeping)
Uid:\t524321\t524321\t524321\t524321
Gid:\t524321\t524321\t524321\t524321
Groups:\t524321 524332 7\x20
CapInh:\t0000000000000000
CapPrm:\t00000000000004fb
CapEff:\t00000000000004fb
CapBnd:\t00000200000004fb
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
Seccomp_filters:\t1
"""
MAP = "         0     524288      65536\n"
ALL_IDS = "         0          0 4294967295\n"
CGROUP = "8:pids:/supervisor/web\n3:cpuset:/\n0::/supervisor/web\n"
LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max stack size            8388608              unlimited            bytes     
Max open files            1024                 4096                 files     
Max nice priority         0                    0                    
"""  # noqa: W291 as the kernel writes it
MOUNTS = r"""344 258 0:89 / / rw,nosuid,nodev,relatime - overlay none rw,lowerdir=/proc/self/fd/9
345 344 254:0 /srv/a\040b /srv/a\040b ro,nosuid,relatime,idmapped - ext4 /dev/vda rw,discard
346 344 254:0 /iso /mnt rw,relatime - iso9660 /dev/sr0 ro
348 344 0:90 / /proc rw,nosuid,nodev,noexec,relatime - proc none rw
350 348 0:88 /folder /proc/acpi ro,nosuid,nodev,noexec - tmpfs none rw,mode=555
351 348 0:5 /null /proc/kcore rw,nosuid - devtmpfs devtmpfs rw
378 348 0:90 /sys /proc/sys ro,nosuid,nodev,noexec,relatime - proc none rw
379 349 0:24 / /sys/fs/cgroup ro,nosuid - cgroup2 none rw
"""


def found(**more: Any) -> dict[str, Any]:
    """A whole confinement, put together as `confinement.read` does."""
    maps = {kind: procfs.id_map(MAP) for kind in ("uid", "gid")}
    masked, read_only, mounts = procfs.concealed(procfs.mounts(MOUNTS))
    own = {kind: {"id": 4026532629, "own": True} for kind in ("mount", "pid", "net", "user")}
    return {
        "pid": 4711,
        **procfs.status(STATUS),
        "inside": {"uid": 33, "gid": 33, "groups": [33, 44, None]},
        "id_maps": maps,
        "namespaces": own | {"time": {"id": 4026531834, "own": False}},
        "program": {"exe": "/usr/sbin/nginx", "cwd": "/", "own_root": True},
        "cgroups": procfs.cgroups(CGROUP),
        "limits": procfs.limits(LIMITS),
        "mounts": mounts,
        "masked": masked,
        "read_only": read_only,
        "needs_root": [],
        **more,
    }


# ── text into values ───────────────────────────────────────────────────────────────────


def test_capabilities_are_named_and_unknown_ones_numbered() -> None:
    sets = procfs.status(STATUS)["capabilities"]
    default = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE".split()
    assert (sets["effective"], sets["ambient"]) == (default, [])
    assert sets["bounding"] == [*default, "CAP_41"]


def test_the_flags_of_a_process_are_told() -> None:
    told = procfs.status(STATUS)
    assert told["no_new_privileges"] is True
    assert told["seccomp"] == {"mode": "filter", "filters": 1}
    assert told["uid"] == dict.fromkeys(("real", "effective", "saved", "filesystem"), 524321)
    assert told["groups"] == [524321, 524332, 7]


def test_an_id_has_the_name_its_map_gives_it_or_none() -> None:
    ranges = procfs.id_map("0 1000 1\n1 524288 65535\n")
    assert [procfs.inside(each, ranges) for each in (1000, 524288, 589822, 589823, 0)] == [
        0,
        1,
        65535,
        None,
        None,
    ]


def test_limits_go_by_their_words_in_the_configuration() -> None:
    assert procfs.limits(LIMITS) == {
        "cpu": {"soft": None, "hard": None},
        "stack": {"soft": 8_388_608, "hard": None},
        "nofile": {"soft": 1024, "hard": 4096},
        "nice": {"soft": 0, "hard": 0},
    }


def test_a_mount_is_told_with_what_may_be_done_there() -> None:
    root, srv, iso, *_ = procfs.mounts(MOUNTS)
    assert (root["target"], root["type"], root["read_only"], root["id_mapped"]) == (
        "/",
        "overlay",
        False,
        False,
    )
    assert (srv["target"], srv["read_only"], srv["id_mapped"]) == ("/srv/a b", True, True)
    assert iso["read_only"], "the file system is, whatever the mount says"


def test_what_lies_on_proc_and_sys_is_told_apart() -> None:
    masked, read_only, others = procfs.concealed(procfs.mounts(MOUNTS))
    assert (masked, read_only) == (["/proc/acpi", "/proc/kcore"], ["/proc/sys"])
    assert [each["target"] for each in others] == ["/", "/srv/a b", "/mnt", "/proc", "/sys/fs/cgroup"]


@pytest.mark.parametrize(
    ("path", "cgroup", "belongs"),
    [
        ("/supervisor/web", "/sys/fs/cgroup/supervisor/web", True),
        ("/supervisor/web", "/sys/fs/cgroup/unified/supervisor/web", True),
        ("/supervisor/web/inner", "/sys/fs/cgroup/supervisor/web", True),
        ("/../../supervisor/web", "/sys/fs/cgroup/supervisor/web", True),
        ("/supervisor/db", "/sys/fs/cgroup/supervisor/web", False),
        ("/web", "/sys/fs/cgroup/supervisor/web", False),
        ("/", "/sys/fs/cgroup/supervisor/web", False),
        ("/other/supervisor/web", "/sys/fs/cgroup/supervisor/web", False),
        ("/supervisor/web", "", False),
    ],
)
def test_a_process_is_the_containers_only_in_its_cgroup(path: str, cgroup: str, belongs: bool) -> None:
    assert procfs.belongs(f"3:cpuset:/\n0::{path}\n", cgroup) is belongs


# ── the right process ──────────────────────────────────────────────────────────────────


@pytest.fixture
def asleep() -> Any:
    with subprocess.Popen(["sleep", "100000"]) as process:
        yield process
        process.kill()


def anywhere(_text: str, cgroup: str) -> bool:
    """Tests stand in no container's cgroup, maybe in the top one."""
    return cgroup == "here"


def test_a_process_is_read_as_it_is(asleep: Any) -> None:
    seen = confinement.read(asleep.pid, "here", anywhere)
    assert seen
    assert (seen["uid"]["effective"], seen["gid"]["effective"]) == (os.geteuid(), os.getegid())
    assert seen["needs_root"] == []
    assert {about["own"] for about in seen["namespaces"].values()} == {False}
    assert seen["program"]["cwd"] == os.getcwd()
    assert seen["program"]["own_root"] is False
    assert "/" in [each["target"] for each in seen["mounts"]]
    assert list(confined.lines(seen, ""))


def test_a_process_that_is_elsewhere_or_nowhere_is_not_described(asleep: Any) -> None:
    assert confinement.read(asleep.pid, "/sys/fs/cgroup/supervisor/web") is None
    asleep.kill()
    asleep.wait()
    assert confinement.read(asleep.pid, "/sys/fs/cgroup/supervisor/web") is None


def telling(*states: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """A supervisor that says one after the other, and the last for ever."""
    rest = list(states)
    return lambda: dict(rest.pop(0) if len(rest) > 1 else rest[0])


def test_a_container_that_does_not_run_has_no_confinement() -> None:
    told, why = confinement.effective(telling({"name": "web", "pid": None, "run": 3}))
    assert (told["confinement"], why) == (None, confinement.NOT_RUNNING)


def test_a_container_that_restarts_meanwhile_is_looked_at_again(asleep: Any) -> None:
    now = {"pid": asleep.pid, "run": 2, "cgroup": "here"}
    told, why = confinement.effective(telling(now | {"run": 1}, now), anywhere)
    assert (told["confinement"]["pid"], told["run"], why) == (asleep.pid, 2, "")


def test_a_container_that_restarts_all_the_time_is_given_up(asleep: Any) -> None:
    states = [{"pid": asleep.pid, "run": run, "cgroup": "here"} for run in range(10)]
    told, why = confinement.effective(telling(*states), anywhere)
    assert (told["confinement"], why) == (None, confinement.NOT_STILL)


@pytest.mark.parametrize("pid", ["../../tmp", "1", 1.5, [1]])
def test_a_supervisor_that_lies_about_the_pid_leads_nowhere(pid: object) -> None:
    assert confinement.effective(telling({"pid": pid, "run": 1, "cgroup": "/"}))[0]["confinement"] is None


# ── values into lines ──────────────────────────────────────────────────────────────────


def test_it_is_shown_in_short_lines() -> None:
    assert list(confined.lines(found(), "")) == [
        "confinement: what the kernel says of process 4711",
        "  account: 33:33 inside, 524321:524321 on this machine",
        "  groups: 33 44 ?",
        "  ids: 0-65535 inside are 524288-589823",
        "  capabilities:",
        "    permitted, effective: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID",
        "      NET_BIND_SERVICE",
        "    bounding: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID",
        "      NET_BIND_SERVICE CAP_41",
        "    inheritable, ambient: none",
        "  no new privileges: yes",
        "  seccomp: filter (1 in force)",
        "  own namespaces: mount pid net user",
        "  the machine's namespaces: time",
        "  program: /usr/sbin/nginx",
        "  working directory: /",
        "  root: own",
        "  cgroup /supervisor/web: v2 pids",
        "  cgroup /: cpuset",
        "  limits: stack=8M/unlimited nofile=1024/4096 nice=0",
        "  mounts:",
        "    /              overlay rw nosuid nodev",
        "    /srv/a b       ext4    ro nosuid id-mapped",
        "    /mnt           iso9660 ro",
        "    /proc          proc    rw nosuid nodev noexec",
        "    /sys/fs/cgroup cgroup2 ro nosuid",
        "  masked: /proc/acpi /proc/kcore",
        "  read-only: /proc/sys",
    ]


def test_ids_of_the_machine_itself_are_said_to_be_that() -> None:
    maps = {kind: procfs.id_map(ALL_IDS) for kind in ("uid", "gid")}
    lines = list(confined.lines(found(id_maps=maps, groups=[]), ""))
    assert lines[1:4] == ["  account: 524321:524321", "  groups: none", "  ids: the machine's own"]


def test_what_needs_root_is_named_and_nothing_is_said_of_it() -> None:
    lines = list(
        confined.lines(found(namespaces=None, program=None, needs_root=["namespaces", "program"]), "")
    )
    assert lines[1] == "  not readable without root: namespaces program"
    assert not [line for line in lines if "namespaces:" in line or "root: own" in line]


def test_why_there_is_none_is_one_line() -> None:
    assert list(confined.lines(None, confinement.NOT_RUNNING)) == ["confinement: it does not run"]


def test_nothing_a_container_is_called_acts_on_the_terminal() -> None:
    evil = "/tmp/\x1b[2J\n\u202ex"
    mounts = [{**procfs.mounts(MOUNTS)[0], "target": evil}]
    program = {"exe": evil, "cwd": evil, "own_root": True}
    text = "".join(
        confined.lines(
            found(mounts=mounts, program=program, cgroups={"": evil}, masked=[evil], read_only=[evil]), ""
        )
    )
    assert not [char for char in text if not char.isprintable()]
