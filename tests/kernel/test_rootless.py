"""Holds without root: inside cgroups that root has handed over, an ordinary user's supervisor runs capped
containers in a user namespace of its own; without them it is refused and says what to do.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

import supervisor
from tests.support.running import Running, Supervise, cgroup_mounts, shell, table, until
from tests.support.services import notifier, sleeper, web
from tests.support.visiting import at_terminal, said

pytestmark = pytest.mark.kernel

#: Nobody's, so that nothing of the machine is this user's.
USER = 51234


class Delegated:
    """Cgroups of the user's own: the unified one, and where they are v1's, cpu and pids."""

    def __init__(self) -> None:
        self.name = f"user-{USER}-{os.getpid()}"
        mounts = cgroup_mounts()
        self.folders = [
            mount / self.name for mount in mounts if mount.name in {"unified", "cgroup", "cpu", "pids"}
        ]

    def make(self) -> None:
        for folder in self.folders:
            folder.mkdir()
            for path in (folder, *(folder / name for name in os.listdir(folder))):
                # As systemd delegates: the folder and what moves processes and controllers, not the limits.
                if path == folder or path.name in {
                    "cgroup.procs",
                    "cgroup.subtree_control",
                    "cgroup.threads",
                    "tasks",
                }:
                    os.chown(path, USER, USER)

    def enter(self) -> None:
        for folder in self.folders:
            (folder / "cgroup.procs").write_text("0")

    def remove(self) -> None:
        for folder in self.folders:
            until(lambda folder=folder: not (folder / "cgroup.procs").read_text(), f"{folder} is empty")  # type: ignore[misc]
            for parent, _, _ in os.walk(folder, topdown=False):
                os.rmdir(parent)


@pytest.fixture
def delegated() -> Iterator[Delegated]:
    made = Delegated()
    made.make()
    yield made
    made.remove()


AS_USER = ("setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups")


def python(folder: Path) -> str:
    """A Python that this user can reach and that knows the project: ours may lie below /root."""
    ours = (Path(supervisor.__file__).parents[1], Path(trio.__file__).parents[1])
    site = folder / f"venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    site.mkdir(parents=True)
    (site / "ours.pth").write_text("".join(f"{path}\n" for path in ours))
    (folder / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    (folder / "venv/bin").mkdir()
    (folder / "venv/bin/python").symlink_to("/usr/bin/python3")
    for path in (sys.executable, f"{folder}/venv/bin/python"):
        # Once more, as the program does: setpriv itself may reach what the user may not.
        again = "import os, sys; os.execv(sys.executable, [sys.executable, '-I', '-c', 'import supervisor, trio, msgspec'])"
        words = [*AS_USER, path, "-I", "-c", again]
        if subprocess.run(words, cwd="/", capture_output=True, check=False).returncode == 0:
            return path
    pytest.skip(f"an ordinary user can reach neither {sys.executable} nor the project's libraries")


def as_user(running: Running) -> None:
    """Its commands are this user's from here on, in a folder of the user's own."""
    running.short.chmod(0o755)
    home = Path(tempfile.mkdtemp(prefix="home-", dir=running.short))
    shutil.copytree(running.configs, home / "configs")
    logs = running.log_dir
    running.folder, running.configs = home, home / "configs"
    running.log_dir, running.said = home / "logs", home / "said"
    text = (running.configs / "all.toml").read_text()
    (running.configs / "all.toml").write_text(text.replace(str(logs), str(running.log_dir)))
    for parent, folders, files in os.walk(running.short):
        for name in (".", *folders, *files):
            os.chown(Path(parent, name), USER, USER, follow_symlinks=False)
    running.environment = {"PATH": os.environ["PATH"], "SUPERVISOR_RUNTIME_DIR": str(running.runtime_dir)}
    running.program = (*AS_USER, python(running.short), "-m", "supervisor")


def test_an_ordinary_user_runs_a_capped_container_in_delegated_cgroups(
    delegated: Delegated, supervise: Supervise
) -> None:
    running = supervise.prepare(
        {"one": shell("id -u; echo $$; exec sleep 100000", cgroup={"cpu.max": "10%"})},
        defaults={"userns": "host"},
    )
    as_user(running)
    running.start(before=delegated.enter)
    now = running.state("one", "running")
    running.line("one", "0")
    assert os.stat(f"/proc/{now['pid']}").st_uid == USER
    assert (now["cpu"]["quota_usec"], now["cpu"]["period_usec"]) == (10_000, 100_000)
    assert f"/{delegated.name}/" in now["cgroup"]


def test_its_socket_is_the_users_alone_and_records_the_users_own_number(
    delegated: Delegated, supervise: Supervise
) -> None:
    running = supervise.prepare({"one": shell("exec sleep 100000", userns="host")}, settings={"group": 0})
    as_user(running)
    running.start(before=delegated.enter)  # which asks as root
    found = os.stat(running.runtime_dir / "api.sock")
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (USER, 0o600)
    assert running.done("restart", "one") == ""
    assert running.event("operator.request", "one")["operator"]["uid"] == USER


def test_the_user_runs_commands_in_it_and_at_a_terminal(delegated: Delegated, supervise: Supervise) -> None:
    running = supervise.prepare(
        {"one": shell("exec sleep 100000"), "plain": shell("exec sleep 100000", init=False)},
        defaults={"userns": "host", "stop": {"signal": "SIGKILL"}},
    )
    as_user(running)
    running.start(before=delegated.enter)
    for name in ("one", "plain"):
        own = [f"/proc/self/ns/{kind}" for kind in ("mnt", "pid", "uts", "ipc", "cgroup", "net", "user")]
        found = said(running, name, "readlink", *own)
        service = running.of(name)["pid"]
        assert found == [os.readlink(link.replace("self", str(service))) for link in own]
        with at_terminal(running, name, "tty") as terminal:
            assert terminal.ended() == 0
            assert terminal.seen == b"/dev/pts/0\r\n"
    running.until(lambda: len(running.events("operator.exec")) == 4, "their records")
    assert {one["operator"]["uid"] for one in running.events("operator.exec")} == {USER}


def test_the_users_containers_are_looked_at_and_heard(delegated: Delegated, supervise: Supervise) -> None:
    health = {"interval": "100ms", "timeout": "60s", "action": "none"}
    running = supervise.prepare(
        {
            "http": web(ready={"type": "http", "url": "http://127.0.0.1:8080/"}),
            "exec": sleeper(
                health={"type": "exec", "command": ["/bin/sh", "-c", "echo ill; exit 3"], **health}
            ),
            "says": notifier('say("READY=1")\ntime.sleep(1000000)', ready={"type": "notify"}),
        },
        defaults={"userns": "host", "stop": {"signal": "SIGKILL"}},
    )
    as_user(running)
    running.start(before=delegated.enter)
    running.event("container.ready", "http")
    running.event("container.ready", "says")
    assert running.event("health.failed", "exec")["why"] == "the command exited with 3: ill"


def test_without_delegated_cgroups_it_is_refused_with_what_to_do(supervise: Supervise) -> None:
    keys = {"userns": "host", "cgroup": {"cpu.max": "10%"}}
    running = supervise.prepare({"one": shell("echo ran", **keys)})
    as_user(running)
    done = running.call("start", f"{running.configs}/")
    assert done.returncode in {1, 4}
    assert "Delegate=yes" in done.stderr


def test_a_range_of_ids_is_roots_to_give_and_the_refusal_says_what_to_write(supervise: Supervise) -> None:
    running = supervise.prepare({"one": shell("echo ran")})
    as_user(running)
    done = running.call("start", f"{running.configs}/")
    assert done.returncode == 2
    assert "one: a private user namespace needs a range of ids" in done.stderr
    assert 'userns = "host"' in done.stderr
    assert done.stderr.count("\n") <= 2
    assert not (running.log_dir / "one").exists() or running.records("one") == []


def test_an_ordinary_users_supervisor_reads_the_users_files_again(
    delegated: Delegated, supervise: Supervise
) -> None:
    one = {"cgroup": {"cpu.max": "10%"}, "restart": "always"}
    running = supervise.prepare({"one": shell("exec sleep 100000", **one)}, defaults={"userns": "host"})
    as_user(running)
    running.start(before=delegated.enter)
    pid = running.state("one", "running")["pid"]
    file = running.configs / "all.toml"
    file.write_text(
        file.read_text().replace("10%", "20%") + table("container.two", shell("exec sleep 100000"))
    )
    answer = json.loads(running.done("reload", "--json"))
    assert (answer["added"], answer["failed"]) == (["two"], {})
    now = running.of("one")
    assert (now["pid"], now["cpu"]["quota_usec"]) == (pid, 20_000)
    file.write_text(file.read_text().replace("userns = ", "usrns = ").replace('"userns" = ', '"usrns" = '))
    assert running.call("reload").returncode == 2
