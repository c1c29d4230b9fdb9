"""Holds of every container, told by a process inside it: it has namespaces, a process table, a host name, a root
and a network of its own; it is what its file says and has nothing else, of the supervisor's or of the machine's.
"""

import json
import os
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import PATIENCE, Running, Supervise, job, shell

pytestmark = pytest.mark.kernel

PYTHON = "/usr/bin/python3"
needs_python = pytest.mark.skipif(not os.path.exists(PYTHON), reason=f"no {PYTHON} on this machine")


def told(supervise: Supervise, script: str, **keys: Any) -> list[str]:
    """What a shell script printed in a container of these keys."""
    return supervise({"one": shell(script, **keys)}).result("one")


def said_by_python(supervise: Supervise, script: str, **keys: Any) -> Any:
    """What a Python script in a container printed as JSON."""
    return json.loads(supervise({"one": job(PYTHON, "-c", script, **keys)}).result("one")[0])


def fields(lines: list[str]) -> dict[str, str]:
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


# ── namespaces ─────────────────────────────────────────────────────────────────────────

ALL = "mnt pid uts ipc cgroup net".split()
LINKS = "; ".join(f"readlink /proc/self/ns/{kind}" for kind in ALL)


def hosts(kinds: list[str]) -> list[str]:
    return [os.readlink(f"/proc/self/ns/{kind}") for kind in kinds]


def test_every_namespace_has_an_inode_number_of_its_own(supervise: Supervise) -> None:
    # Both live until both have told: the number of a namespace that is gone is given to another.
    script = f"{LINKS}; echo told; exec sleep 100000"
    running = supervise({"one": shell(script), "two": shell(script)})
    for name in ("one", "two"):
        running.line(name, "told")
    one, two = (running.lines(name)[:-1] for name in ("one", "two"))
    assert [link.partition(":")[0] for link in one] == ALL
    assert len({*one, *two, *hosts(ALL)}) == 3 * len(ALL)


def test_a_namespace_that_is_not_asked_for_is_the_machines(supervise: Supervise) -> None:
    found = told(supervise, LINKS, namespaces=["mount", "pid"], network="host")
    assert found[2:] == hosts(ALL[2:])
    assert not {*found[:2]} & {*hosts(ALL[:2])}


def test_it_sees_its_own_processes_alone(supervise: Supervise) -> None:
    found = told(supervise, "echo /proc/[0-9]*")
    assert found == ["/proc/1 /proc/2"]


def test_the_service_is_pid_1_without_our_init_and_2_with_it(supervise: Supervise) -> None:
    running = supervise({"with": shell("echo $$"), "without": shell("echo $$", init=False)})
    assert (running.result("with"), running.result("without")) == (["2"], ["1"])


def test_our_init_reaps_what_the_service_leaves(supervise: Supervise) -> None:
    # Whose parent has ended: a zombie, it would stay in /proc for ever.
    orphan = "sh -c 'sleep 0.05 & echo $! >/tmp/orphan; exec true'; read -r pid </tmp/orphan"
    assert told(supervise, f"{orphan}; while [ -e /proc/$pid ]; do sleep 0.01; done; echo gone") == ["gone"]


def test_its_host_name_is_its_own(supervise: Supervise) -> None:
    script = "cat /proc/sys/kernel/hostname; echo $HOSTNAME"
    running = supervise({"web": shell(script), "db": shell(script, hostname="store")})
    assert (running.result("web"), running.result("db")) == (["web"] * 2, ["store"] * 2)
    assert socket.gethostname() not in {"web", "store"}


def test_its_cgroup_is_the_top_of_what_it_sees(supervise: Supervise) -> None:
    found = told(supervise, "cat /proc/self/cgroup")
    assert found[-1] == "0::/"
    assert not [line for line in found if "supervisor" in line]


# ── what it may ────────────────────────────────────────────────────────────────────────

STATUS = 'while read -r line; do echo "$line"; done </proc/self/status'
NONE = "0000000000000000"


#: CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID NET_BIND_SERVICE, of capabilities(7).
OF_ITS_OWN = f"{1 << 0 | 1 << 1 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 10:016x}"


@pytest.mark.parametrize(
    ("keys", "held", "bound"),
    [
        ({"userns": "host"}, NONE, NONE),
        ({"userns": "host", "user": "4242"}, NONE, NONE),
        ({}, OF_ITS_OWN, OF_ITS_OWN),
        ({"user": "4242"}, NONE, OF_ITS_OWN),
        ({"user": "4242", "capabilities": []}, NONE, NONE),
    ],
)
def test_it_has_no_capability_it_was_not_given(
    supervise: Supervise, keys: dict[str, str], held: str, bound: str
) -> None:
    found = fields(told(supervise, STATUS, **keys))
    wanted = {"CapInh": NONE, "CapPrm": held, "CapEff": held, "CapBnd": bound, "CapAmb": NONE}
    assert {key: found[key] for key in found if key.startswith("Cap")} == wanted
    assert found["NoNewPrivs"] == "1"


@pytest.mark.parametrize("user", ["0:0", "4242"])
def test_it_has_exactly_the_capabilities_it_was_given(supervise: Supervise, user: str) -> None:
    given = {"capabilities": ["CAP_CHOWN", "NET_BIND_SERVICE"], "no_new_privileges": False}
    found = fields(told(supervise, STATUS, user=user, **given))
    assert [int(found[key], 16) for key in ("CapPrm", "CapEff", "CapBnd")] == [1 << 0 | 1 << 10] * 3
    assert found["NoNewPrivs"] == "0"


def test_it_holds_three_descriptors(supervise: Supervise) -> None:
    # The shell opens the folder it lists; at the listing's end it is closed again.
    script = "for fd in /proc/$$/fd/*; do [ -e $fd ] && echo ${fd##*/}; done; readlink /proc/$$/fd/0"
    assert told(supervise, script) == ["0", "1", "2", "/dev/null"]


def test_its_environment_is_what_was_declared_and_six_words_of_ours(
    supervise: Supervise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAK", "from whoever started the supervisor")
    # Not through a shell, which would add words of its own.
    running = supervise({"one": job("/usr/bin/env", env={"LANG": "C.UTF-8", "EMPTY": ""}, user="4242")})
    found = dict(line.split("=", 1) for line in running.result("one"))
    assert found.keys() == {
        "LANG", "EMPTY", "PATH", "HOME", "HOSTNAME", "SUPERVISOR_NAME", "SUPERVISOR_INSTANCE",
    }  # fmt: skip
    assert (found["LANG"], found["EMPTY"], found["SUPERVISOR_NAME"]) == ("C.UTF-8", "", "one")


def test_replicas_know_which_they_are(supervise: Supervise) -> None:
    running = supervise({"web": shell("echo $SUPERVISOR_NAME $SUPERVISOR_INSTANCE", replicas=2)})
    first, second = running.result("web.1"), running.result("web.2")
    assert first != second
    assert first[0].endswith(" 1")
    assert second[0].endswith(" 2")


def test_its_groups_are_the_declared_ones(supervise: Supervise) -> None:
    found = fields(told(supervise, STATUS, user="4242:4243", groups=[7, "4300"]))
    assert (found["Uid"], found["Gid"]) == ("\t".join(["4242"] * 4), "\t".join(["4243"] * 4))
    assert found["Groups"].split() == ["7", "4243", "4300"]


def test_its_limits_are_the_declared_ones(supervise: Supervise) -> None:
    found = told(supervise, "ulimit -n; ulimit -Hn; ulimit -c", rlimits={"nofile": 123, "core": 0})
    assert found == ["123", "123", "0"]


def test_a_user_is_looked_up_inside_the_root(supervise: Supervise, busybox_root: Path) -> None:
    (busybox_root / "etc/passwd").write_text("keeper:x:7001:7002::/home/keeper:/bin/sh\n")
    (busybox_root / "etc/group").write_text("keeper:x:7002:\nledger:x:7003:\n")
    found = told(
        supervise, "id; echo $HOME", rootfs=busybox_root, user="keeper", groups=["ledger"], workdir="/tmp"
    )
    assert found == ["uid=7001(keeper) gid=7002(keeper) groups=7002(keeper),7003(ledger)", "/home/keeper"]


def test_setuid_programs_of_the_root_gain_nothing(supervise: Supervise, busybox_root: Path) -> None:
    (busybox_root / "bin/busybox").chmod(0o4755)
    found = told(supervise, "id -u; grep -E 'Uid|CapEff' /proc/self/status", rootfs=busybox_root, user="4242")
    assert found[0] == "4242"
    assert fields(found[1:])["CapEff"] == NONE


# ── what it sees ───────────────────────────────────────────────────────────────────────


def test_its_root_is_the_declared_directory_and_no_way_leads_out(
    supervise: Supervise, busybox_root: Path
) -> None:
    (busybox_root / "etc/here").write_text("inside\n")
    found = told(supervise, "cd /; cd ../../..; pwd; cat etc/here; echo *", rootfs=busybox_root)
    assert found[:2] == ["/", "inside"]
    assert found[2] == "bin dev etc proc sys tmp var"


def test_no_mount_of_the_machine_is_left_in_it(supervise: Supervise, busybox_root: Path) -> None:
    found = told(supervise, "cat /proc/self/mountinfo", rootfs=busybox_root)
    points = [line.split()[4] for line in found]
    own = sorted(point for point in points if not point.startswith(("/proc/", "/sys/")))  # those are masks
    assert own == ["/", "/dev", "/dev/mqueue", "/dev/pts", "/dev/shm", "/proc", "/sys"]
    options = {line.split()[4]: line.split()[5].split(",") for line in found}
    assert "ro" in options["/sys"]


def test_its_devices_are_the_usual_ones(supervise: Supervise, busybox_root: Path) -> None:
    script = "ls /dev | xargs; head -c 4 /dev/zero | wc -c; echo gone >/dev/null; stat -c %a /dev/null"
    found = told(supervise, script, rootfs=busybox_root, user="4242")
    usual = "fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero"
    assert found == [usual, "4", "666"]


def test_dev_stdout_can_be_opened_again_by_its_user(supervise: Supervise, busybox_root: Path) -> None:
    running = supervise(
        {"one": shell("echo first >/dev/stdout; echo second >/dev/stderr", rootfs=busybox_root, user="4242")}
    )
    assert running.result("one") == ["first"]
    assert running.lines("one", "stderr") == ["second"]


def test_what_it_writes_over_an_overlay_is_unseen_outside_and_gone_at_its_next_run(
    supervise: Supervise, busybox_root: Path
) -> None:
    (busybox_root / "etc/kept").write_text("of the image")
    script = "cat /etc/kept; echo; ls /var/new 2>/dev/null; echo changed >/etc/kept; echo x >/var/new"
    running = supervise({"one": shell(script, rootfs=busybox_root, rootfs_mode="overlay")})
    assert running.result("one") == ["of the image"]
    running.done("start", "one")
    running.state("one", "exited", run=2)
    assert running.lines("one") == ["of the image"] * 2
    assert (busybox_root / "etc/kept").read_text() == "of the image"
    assert not (busybox_root / "var/new").exists()


def test_a_read_only_root_refuses_writing(supervise: Supervise, busybox_root: Path) -> None:
    script = "echo x >/var/new || echo refused; echo x >/dev/shm/new && echo taken"
    running = supervise({"one": shell(script, rootfs=busybox_root, rootfs_mode="read-only")})
    assert running.result("one") == ["refused", "taken"]
    assert "Read-only file system" in running.lines("one", "stderr")[0]
    assert not (busybox_root / "var/new").exists()


def test_a_direct_root_is_written_to(supervise: Supervise, busybox_root: Path) -> None:
    told(supervise, "echo kept >/var/new", rootfs=busybox_root, rootfs_mode="direct")
    assert (busybox_root / "var/new").read_text() == "kept\n"


def test_the_machines_own_folders_are_shown_read_only(supervise: Supervise) -> None:
    script = (
        "touch /usr/bin/new 2>/dev/null || echo refused; touch /tmp/new && echo taken; echo /work* /home/*"
    )
    assert told(supervise, script) == ["refused", "taken", "/work* /home/*"]
    assert not Path("/usr/bin/new").exists()
    assert not Path("/tmp/new").exists()


def test_mounts_are_there_as_declared(supervise: Supervise, busybox_root: Path, tmp_path: Path) -> None:
    shown, kept = tmp_path / "shown", tmp_path / "kept"
    shown.mkdir()
    kept.mkdir()
    (shown / "page").write_text("hello\n")
    mounts = [
        {
            "type": "bind",
            "source": shown,
            "target": "/srv/shown",
            "options": ["ro", "nosuid", "nodev", "noexec"],
        },
        {"type": "bind", "source": kept, "target": "/srv/kept"},
        {"type": "bind", "source": shown / "page", "target": "/etc/one-file", "options": ["ro"]},
        {"type": "tmpfs", "target": "/scratch", "options": ["size=64KiB", "mode=1777"]},
    ]
    script = """
        cat /srv/shown/page; cat /etc/one-file
        touch /srv/shown/new 2>/dev/null || echo refused
        echo seen >/srv/kept/new
        head -c 100000 /dev/zero >/scratch/much 2>/dev/null || echo full
        stat -c %a /scratch
        grep ' /srv/shown ' /proc/self/mountinfo | cut -d ' ' -f 6
    """
    found = told(supervise, script, rootfs=busybox_root, mounts=mounts)
    assert found[:5] == ["hello", "hello", "refused", "full", "1777"]
    assert {"ro", "nosuid", "nodev", "noexec"} <= set(found[5].split(","))
    assert (kept / "new").read_text() == "seen\n"
    assert not (busybox_root / "scratch").exists()


def test_a_link_in_a_hostile_root_leads_no_mount_outside(
    supervise: Supervise, busybox_root: Path, tmp_path: Path
) -> None:
    outside, source = tmp_path / "outside", tmp_path / "source"
    outside.mkdir()
    source.mkdir()
    (busybox_root / "srv").symlink_to(f"../../../../../..{outside}")
    mount = {"type": "bind", "source": source, "target": "/srv/new"}
    running = supervise({"one": shell("echo ran", rootfs=busybox_root, mounts=[mount])})
    running.state("one", "exited", "failed", "backoff")
    assert list(outside.iterdir()) == []


# ── its network ────────────────────────────────────────────────────────────────────────

INTERFACES = 'while IFS=: read -r name rest; do [ -z "$rest" ] || echo $name; done </proc/net/dev'
LISTEN = """
import json, socket
with socket.create_server(("127.0.0.1", 80)) as server, socket.create_connection(server.getsockname()) as client:
    print(json.dumps(client.getpeername()))
"""


def test_without_a_network_there_is_lo_alone(supervise: Supervise) -> None:
    names = [line for line in told(supervise, INTERFACES) if "|" not in line]
    assert names == ["lo"]


@needs_python
def test_in_its_own_network_any_user_may_listen_on_port_80_of_lo(supervise: Supervise) -> None:
    assert said_by_python(supervise, LISTEN, user="4242") == ["127.0.0.1", 80]


@needs_python
def test_in_the_machines_network_it_reaches_what_listens_there(supervise: Supervise) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        script = f"import json, socket; socket.create_connection({server.getsockname()}).close(); print(json.dumps(1))"
        assert said_by_python(supervise, script, network="host") == 1
        server.accept()[0].close()


# ── our own part in it ─────────────────────────────────────────────────────────────────

TOUCH = """
import json, os
def attempt(act):
    try:
        return bool(act()) or True
    except OSError as error:
        return error.strerror
print(json.dumps([
    attempt(lambda: os.readlink("/proc/1/exe")),
    attempt(lambda: os.readlink("/proc/1/fd/0")),
    attempt(lambda: open("/proc/1/mem", "rb+").close()),
    attempt(lambda: open("/proc/1/environ", "rb").read(1)),
    attempt(lambda: os.kill(1, 9)),
    os.listdir("/proc/self/fd") and open("/proc/1/status").read().count("CapEff:\\t0000000000000000"),
]))
"""


@needs_python
@pytest.mark.parametrize("user", ["0:0", "4242"])
def test_our_init_can_neither_be_read_nor_killed_from_inside(supervise: Supervise, user: str) -> None:
    executable, files, memory, environment, killed, no_capabilities = said_by_python(
        supervise, TOUCH, user=user
    )
    assert [executable, files, memory, environment] == ["Permission denied"] * 4
    assert killed is True  # sent, and ignored by the kernel, or this would never have been printed
    assert no_capabilities == 1


def test_nothing_of_the_supervisors_is_in_sight(supervise: Supervise) -> None:
    running: Running = supervise({"one": shell("cat /proc/self/mountinfo /proc/1/cmdline")})
    text = "\n".join(running.result("one"))
    assert str(running.runtime_dir) not in text
