"""Holds of real programs, as Debian packages them: each serves its own client, comes back when it is killed, and
leaves nothing when it is stopped (the fixture looks).
"""

import contextlib
import http.client
import os
import random
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Running, Supervise, job

pytestmark = pytest.mark.kernel

PYTHON = "/usr/bin/python3"
#: They end when they are told to; how soon is the machine's business.
SERVICE: dict[str, Any] = {"network": "host", "restart": "always", "stop": {"timeout": "1h"}}


def free_port() -> int:
    """One that nobody is given who connects: not of the range for that (ip(7), ip_local_port_range)."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(1024, first), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    pytest.skip("no port of this machine is free")


def account(root: Path, name: str) -> tuple[int, int]:
    """Its uid and gid in the passwd(5) of a root directory."""
    lines = [line.split(":") for line in (root / "etc/passwd").read_text().splitlines()]
    return next((int(words[2]), int(words[3])) for words in lines if words[0] == name)


def owners(running: Running, name: str) -> list[int]:
    """The uid of each process of a container, as the container has it (user_namespaces(7), uid_map)."""
    found = []
    for process in (Path(f"/proc/{pid}") for pid in running.processes(name)):
        with contextlib.suppress(OSError):  # it may end meanwhile
            maps = [map(int, line.split()) for line in (process / "uid_map").read_text().splitlines()]
            uid = process.stat().st_uid
            found += [uid - there + here for here, there, count in maps if there <= uid < there + count]
    return found


def page(port: int, path: str = "/") -> str | None:
    """What a web server answers, None while it does not."""
    # Whatever proxy this machine has, it is not for us.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException):
        return None


def is_killed_and_comes_back(running: Running, name: str, answers: Callable[[], Any]) -> None:
    """Whatever answered before answers again, and it is another process."""
    before = running.of(name)["pid"]
    there = running.processes(name)
    os.kill(before, signal.SIGKILL)
    now = running.state(name, "running", run=2)
    assert now["pid"] != before
    assert now["restarts"] == 1
    assert now["exit"] == {"code": None, "signal": 9, "oom": False, "reason": "signal"}
    assert not there & running.processes(name)
    running.until(answers, f"{name} answers again")


def test_nginx_serves_with_workers_of_another_user_and_logs_to_stdout(
    supervise: Supervise, debian_root: Path, tmp_path: Path
) -> None:
    port = free_port()
    (tmp_path / "www").mkdir()
    (tmp_path / "www/index.html").write_text("hello from nginx\n")
    (tmp_path / "nginx.conf").write_text(f"""
        user www-data;
        worker_processes 2;
        pid /run/nginx.pid;
        error_log /dev/stderr;
        events {{}}
        http {{
            access_log /dev/stdout;
            server {{ listen 127.0.0.1:{port}; root /srv/www; }}
        }}
    """)
    mounts = [
        {"type": "bind", "source": tmp_path / "www", "target": "/srv/www", "options": ["ro"]},
        {
            "type": "bind",
            "source": tmp_path / "nginx.conf",
            "target": "/etc/nginx/nginx.conf",
            "options": ["ro"],
        },
    ]
    capabilities = ["CHOWN", "SETUID", "SETGID", "DAC_OVERRIDE"]
    command = job(
        "/usr/sbin/nginx", "-g", "daemon off;", rootfs=debian_root, mounts=mounts, capabilities=capabilities
    )
    running = supervise({"web": command | SERVICE})
    running.until(lambda: page(port, "/index.html") == "hello from nginx\n", "a page")
    running.until(
        lambda: [line for line in running.lines("web") if "GET /index.html" in line], "an access log"
    )
    worker, _ = account(debian_root, "www-data")
    running.until(lambda: owners(running, "web").count(worker) == 2, "two workers of another user")
    is_killed_and_comes_back(running, "web", lambda: page(port))
    running.done("stop", "web")
    assert running.of("web")["exit"] == {"code": 0, "signal": None, "oom": False, "reason": "operator"}


def test_redis_answers_as_its_own_user(supervise: Supervise, debian_root: Path) -> None:
    port = free_port()
    words = [
        "/usr/bin/redis-server",
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--dir",
        "/tmp",
    ]
    running = supervise({"cache": job(*words, rootfs=debian_root, user="redis") | SERVICE})

    def ping() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(b"PING\r\n")
                return client.recv(64) == b"+PONG\r\n"
        except OSError:
            return False

    running.until(ping, "a PONG")
    assert set(owners(running, "cache")) == {account(debian_root, "redis")[0]}
    is_killed_and_comes_back(running, "cache", ping)
    running.done("stop", "cache")
    assert running.of("cache")["exit"]["code"] == 0


def test_postgresql_keeps_its_data_in_a_bind_mount_as_its_own_user(
    supervise: Supervise, debian_root: Path, tmp_path: Path
) -> None:
    uid, gid = account(debian_root, "postgres")
    port = free_port()
    (programs,) = debian_root.glob("usr/lib/postgresql/*/bin")
    there = "/" + str(programs.relative_to(debian_root))
    (tmp_path / "data").mkdir(mode=0o700)
    os.chown(tmp_path / "data", uid, gid)
    mount = {"type": "bind", "source": tmp_path / "data", "target": "/data"}
    inside: dict[str, Any] = {"rootfs": debian_root, "user": "postgres", "mounts": [mount]}
    setup = [f"{there}/initdb", "-D", "/data", "--auth=trust", "--locale=C.UTF-8", "--no-sync"]
    server = [f"{there}/postgres", "-D", "/data", "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    server += ["-c", "unix_socket_directories=/tmp", "-c", "fsync=off"]
    supervise({"initdb": job(*setup, **inside)}).result("initdb")
    running = supervise(
        {"db": job(*server, **inside) | SERVICE | {"stop": {"signal": "SIGINT", "timeout": "1h"}}}
    )

    def sql(text: str) -> str | None:
        words = [
            "chroot",
            str(debian_root),
            "psql",
            "-XAtq",
            "-h",
            "127.0.0.1",
            "-p",
            str(port),
            "-U",
            "postgres",
            "-c",
            text,
        ]
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/usr/sbin"}
        )
        return done.stdout.strip() if done.returncode == 0 else None

    running.until(lambda: sql("select 1") == "1", "an answer")
    assert set(owners(running, "db")) == {uid}
    assert sql("create table kept (word text); insert into kept values ('still here')") == ""
    is_killed_and_comes_back(running, "db", lambda: sql("select word from kept") == "still here")
    running.done("stop", "db")
    assert running.of("db")["exit"] == {"code": 0, "signal": None, "oom": False, "reason": "operator"}
    assert os.stat(tmp_path / "data/PG_VERSION").st_uid == uid


@pytest.mark.skipif(not os.path.exists(PYTHON), reason=f"no {PYTHON} on this machine")
def test_pythons_web_server_runs_from_the_machines_own_folders(supervise: Supervise, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "www").mkdir()
    (tmp_path / "www/page").write_text("hello from python\n")
    mount = {"type": "bind", "source": tmp_path / "www", "target": "/srv/www", "options": ["ro"]}
    words = [PYTHON, "-u", "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", "/srv/www"]
    running = supervise({"files": job(*words, user="nobody", mounts=[mount]) | SERVICE})
    running.until(lambda: page(port, "/page") == "hello from python\n", "a page")
    running.until(
        lambda: [line for line in running.lines("files", "stderr") if "/page" in line], "an access log"
    )
    is_killed_and_comes_back(running, "files", lambda: page(port))
    running.done("stop", "files")
    assert running.of("files")["exit"] == {"code": None, "signal": 15, "oom": False, "reason": "operator"}
