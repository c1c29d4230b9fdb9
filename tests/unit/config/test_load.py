"""Good files become exactly the specs they describe; defaults merge, replicas expand, paths follow their file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from supervisor.config.load import load
from supervisor.core.backoff import Backoff
from supervisor.core.spec import (
    Configuration,
    Container,
    Hooks,
    Limit,
    Mount,
    Restart,
    Schedule,
    Stop,
)

WEB = '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\n'
Write = Callable[..., None]
Read = Callable[..., Configuration]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def files(**texts: str) -> None:
        for name, text in texts.items():
            path = tmp_path / "configs" / f"{name}.toml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    return files


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def run(path: str = "configs/") -> Configuration:
        return load(path, cwd=str(tmp_path), environ={})

    return run


def only(configuration: Configuration) -> Container:
    (container,) = configuration.containers
    return container


def test_a_container_that_says_little_gets_the_defaults_of_spec(write: Write, read: Read) -> None:
    write(web=WEB)
    assert only(read()) == Container(
        name="web",
        service="web",
        hostname="web",
        rootfs="host",
        command=("/bin/true",),
        userns="host",
    )


def test_every_key_that_is_supported_arrives_in_the_spec(write: Write, read: Read, tmp_path: Path) -> None:
    (tmp_path / "configs" / "root").mkdir(parents=True)
    (tmp_path / "configs" / "web.env").write_text("# vars\n\nLANG=C\n B = 'two words' \nC=\"\"\nD=a=b\n")
    write(
        web=r"""
[container.web]
rootfs = "root"
rootfs_mode = "read-only"
command = ["/usr/sbin/nginx", "-g", "daemon off;"]
user = "www-data"
groups = ["audio", 27]
workdir = "/srv//www/"
env = { LANG = "C.UTF-8", TAB = "a\tb" }
env_file = "web.env"
hostname = "front"
init = false
namespaces = ["pid", "mount"]
network = "host"
userns = "host"
capabilities = ["CAP_CHOWN", "net_bind_service", "CHOWN"]
no_new_privileges = false
seccomp = "unconfined"
rlimits = { nofile = 1024, core = "unlimited" }
devices = []
[[container.web.mounts]]
type = "bind"
source = "../www"
target = "/srv/www/"
options = ["ro", "nosuid", "ro"]
[[container.web.mounts]]
type = "tmpfs"
target = "/tmp"
options = ["size=64MiB", "mode=1777"]
[container.web.cgroup]
cpu.max = "10%"
cpu.weight = 100
"memory.max" = "64MiB"
memory.high = "48M"
memory.oom.group = true
memory.swap.max = 0
pids.max = 128
io.weight = "200"
[container.web.restart]
policy = "always"
success = [0, 143]
backoff = { initial = "200ms", factor = 3, max = "1m", jitter = 0 }
reset_after = "20s"
limit = { failures = 5, within = "60s" }
[container.web.stop]
signal = "INT"
timeout = "1.5s"
[container.web.output]
format = "json"
max_line = "1KiB"
[container.web.on]
failed = ["/usr/local/bin/page", "web"]
throttled = ["/bin/true"]
window = "10m"
"""
    )
    web = only(read())
    assert web.rootfs == str(tmp_path / "configs" / "root")
    assert web.rootfs_mode == "read-only"
    assert web.command == ("/usr/sbin/nginx", "-g", "daemon off;")
    assert (web.user, web.groups, web.workdir, web.hostname, web.init) == (
        "www-data",
        ("audio", "27"),
        "/srv/www",
        "front",
        False,
    )
    assert dict(web.env) == {"LANG": "C.UTF-8", "TAB": "a\tb", "B": "two words", "C": "", "D": "a=b"}
    assert (web.namespaces, web.network, web.no_new_privileges) == (("mount", "pid"), "host", False)
    assert web.capabilities == ("CHOWN", "NET_BIND_SERVICE")
    assert dict(web.rlimits) == {"nofile": 1024, "core": -1}
    assert web.mounts == (
        Mount("bind", "/srv/www", str(tmp_path / "www"), ("ro", "nosuid")),
        Mount("tmpfs", "/tmp", "", (f"size={64 << 20}", "mode=1777")),
    )
    assert dict(web.cgroup) == {
        "cpu.max": "10000 100000",
        "cpu.weight": "100",
        "memory.max": "67108864",
        "memory.high": "50331648",
        "memory.oom.group": "1",
        "memory.swap.max": "0",
        "pids.max": "128",
        "io.weight": "default 200",
    }
    assert web.restart == Restart("always", (0, 143), Backoff(0.2, 3.0, 60.0, 0.0), 20.0, Limit(5, 60.0))
    assert web.stop == Stop("SIGINT", 1.5)
    assert (web.output.format, web.output.max_line) == ("json", 1024)
    commands = (("failed", ("/usr/local/bin/page", "web")), ("throttled", ("/bin/true",)))
    assert web.on == Hooks(commands, 600.0, 30.0)
    assert read().notes == ()


def test_restarts_may_follow_at_once(write: Write, read: Read) -> None:
    write(web=f'{WEB}restart.backoff = {{ initial = "0s", max = "0s" }}')
    backoff = only(read()).restart.backoff
    assert (backoff.initial, backoff.max) == (0, 0)


def test_own_keys_win_over_defaults_and_tables_merge(write: Write, read: Read) -> None:
    write(
        all='[defaults]\nuserns = "host"\nrootfs = "host"\nenv = { A = "1", B = "1" }\ncommand = ["/a", "b"]\n'
        '[defaults.cgroup]\ncpu.max = "10%"\n"pids.max" = 7\n[defaults.restart]\nreset_after = "1m"\npolicy = "never"\n',
        web='[container.web]\nenv.B = "2"\ncommand = ["/c"]\ncgroup = { "cpu.max" = 1, memory = { max = "1M" } }\n'
        'restart = "always"\n',
    )
    web = only(read())
    assert web.env == (("A", "1"), ("B", "2"))
    assert web.command == ("/c",)
    assert dict(web.cgroup) == {"cpu.max": "100000 100000", "pids.max": "7", "memory.max": "1048576"}
    assert (web.restart.policy, web.restart.reset_after) == ("always", 60.0)


def test_a_schedule_is_an_expression_or_a_table_and_merges_with_defaults(write: Write, read: Read) -> None:
    job = "rootfs = 'host'\ncommand = ['x']"
    write(
        a=f"[defaults.schedule]\ntimezone = 'Europe/Berlin'\ncron = '0 4 * * *'\n"
        f"[container.short]\n{job}\nschedule = '0 3 * * *'\n"
        f"[container.long]\n{job}\nschedule = {{ overlap = 'restart', missed = 'run' }}"
    )
    short, long = read().containers
    assert short.schedule == Schedule("0 3 * * *", "Europe/Berlin")
    assert long.schedule == Schedule("0 4 * * *", "Europe/Berlin", "restart", "run")


def test_replicas_are_containers_of_their_own(write: Write, read: Read) -> None:
    write(web=WEB + "replicas = 3\n")
    containers = read().containers
    assert [each.name for each in containers] == ["web.1", "web.2", "web.3"]
    assert [each.hostname for each in containers] == ["web.1", "web.2", "web.3"]
    assert {each.service for each in containers} == {"web"}


def test_one_replica_keeps_the_plain_name(write: Write, read: Read) -> None:
    write(web=WEB + "replicas = 1\n")
    assert only(read()).name == "web"


def test_containers_come_in_file_and_line_order(write: Write, read: Read) -> None:
    write(b=WEB.replace("web", "b1") + WEB.replace("web", "a1"), a=WEB.replace("web", "z1"))
    assert [each.name for each in read().containers] == ["z1", "b1", "a1"]


def test_only_toml_files_of_the_folder_itself_are_read(write: Write, read: Read, tmp_path: Path) -> None:
    write(web=WEB)
    folder = tmp_path / "configs"
    (folder / "deeper").mkdir()
    for name in ("deeper/x.toml", "web.toml~", ".hidden.toml", "notes.txt"):
        (folder / name).write_text("garbage [")
    assert only(read()).name == "web"


def test_one_file_may_be_named(write: Write, read: Read) -> None:
    write(web=WEB, broken="[")
    assert only(read("configs/web.toml")).name == "web"


def test_settings_take_paths_relative_to_their_file(write: Write, read: Read, tmp_path: Path) -> None:
    write(
        s='[supervisor]\nuser = "daemon"\nruntime_dir = "run"\n[supervisor.logs]\ndir = "../logs"\nsegment = "1MiB"\n'
        'compress = "none"\n[supervisor.monitor]\ninterval = "500ms"\nthrottled_percent = 30\n'
    )
    settings = read().settings
    assert (settings.user, settings.runtime_dir) == ("daemon", str(tmp_path / "configs" / "run"))
    assert (settings.logs.dir, settings.logs.segment, settings.logs.compress) == (
        str(tmp_path / "logs"),
        1 << 20,
        "none",
    )
    assert (settings.monitor.interval, settings.monitor.throttled_percent) == (0.5, 30.0)


@pytest.mark.parametrize("written", ['"root"', '"0"', "0"])
def test_the_sockets_group_arrives_as_its_number(write: Write, read: Read, written: str) -> None:
    write(s=f"[supervisor]\ngroup = {written}\n", web=WEB)
    assert read().settings.group == 0


def test_the_socket_is_no_groups_when_nothing_is_said(write: Write, read: Read) -> None:
    write(web=WEB)
    assert read().settings.group is None


def test_without_root_a_group_has_no_effect_and_that_is_noted(write: Write, tmp_path: Path) -> None:
    write(s="[supervisor]\ngroup = 0\n", web=WEB)
    found = load("configs", cwd=str(tmp_path), root=False, environ={})
    assert found.settings.group is None
    assert [note for note in found.notes if note.startswith("supervisor.group: ")]


def test_logs_lie_under_the_working_directory_when_nothing_is_said(
    write: Write, read: Read, tmp_path: Path
) -> None:
    write(web=WEB)
    assert read().settings.logs.dir == str(tmp_path / "logs")


@pytest.mark.parametrize(
    ("root", "environ", "expected"),
    [
        (True, {"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/supervisor"),
        (False, {"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/supervisor"),
    ],
)
def test_the_runtime_dir_follows_who_runs(
    write: Write, tmp_path: Path, root: bool, environ: dict[str, str], expected: str
) -> None:
    write(web=WEB)
    assert load("configs", cwd=str(tmp_path), root=root, environ=environ).settings.runtime_dir == expected


@pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": "relative"}, {"XDG_RUNTIME_DIR": ""}])
def test_a_login_without_a_runtime_dir_gets_the_usual_one(
    write: Write, tmp_path: Path, environ: dict[str, str]
) -> None:
    write(web=WEB)
    found = load("configs", cwd=str(tmp_path), root=False, environ=environ).settings.runtime_dir
    assert found.startswith("/run/user/")


def test_a_container_that_does_not_speak_of_seccomp_has_the_default_filter(write: Write, read: Read) -> None:
    write(web=WEB)
    configuration = read()
    assert configuration.containers[0].seccomp == "default"
    assert (configuration.seccomp, configuration.notes) == ((), ())


def test_low_ports_of_the_host_network_are_noted(write: Write, read: Read) -> None:
    write(web=WEB + 'network = "host"\nseccomp = "unconfined"\n')
    (note,) = read().notes
    assert note.startswith("configs/web.toml:5: container.web.network: ports below 1024")


def test_no_container_at_all_is_noted(write: Write, read: Read) -> None:
    write(web="# nothing yet\n")
    assert read().containers == ()
    assert read().notes == ("no container is declared (write a [container.NAME] table)",)
