"""Holds of real servers, as Debian packages them, each in a network namespace of its own: nginx is ready and well by HTTP, Redis by
TCP and by its own client, and each is seen to be ill when it is.
"""

from pathlib import Path

import pytest

from tests.support.running import Supervise
from tests.support.visiting import execute

pytestmark = pytest.mark.kernel

HEALTH = {"interval": "200ms", "timeout": "60s", "retries": 3}
URL = "http://127.0.0.1:80/healthz"
NGINX = """
user www-data;
pid /run/nginx.pid;
error_log /dev/stderr;
events {}
http {
    access_log off;
    server {
        listen 127.0.0.1:80;
        location /healthz { if (-e /tmp/ill) { return 500; } return 204; }
    }
}
"""


def test_nginx_is_ready_and_well_by_http_and_is_restarted_when_it_answers_errors(
    supervise: Supervise, debian_root: Path, tmp_path: Path
) -> None:
    (tmp_path / "nginx.conf").write_text(NGINX)
    running = supervise(
        {
            "web": {
                "rootfs": debian_root,
                "command": ["/usr/sbin/nginx", "-g", "daemon off;"],
                "mounts": [
                    {
                        "type": "bind", "source": tmp_path / "nginx.conf", "target": "/etc/nginx/nginx.conf",
                        "options": ["ro"],
                    }
                ],
                "ready": {"type": "http", "url": URL},
                "health": {"type": "http", "url": URL, **HEALTH},
            }
        }
    )  # fmt: skip
    running.event("container.ready", "web")
    running.until(lambda: running.of("web")["healthy"], "well")
    assert execute(running, "web", "/usr/bin/touch", "/tmp/ill").returncode == 0
    assert running.event("health.failed", "web")["why"] == "answered 500 Internal Server Error"
    assert running.state("web", "running", run=2)["exit"]["reason"] == "health"


def test_redis_is_ready_by_tcp_and_is_restarted_when_it_does_not_answer_its_client(
    supervise: Supervise, debian_root: Path
) -> None:
    client = ["/usr/bin/redis-cli", "ping"]
    running = supervise(
        {
            "db": {
                "rootfs": debian_root,
                "command": ["/usr/bin/redis-server", "--save", ""],
                "user": "redis",
                "ready": {"type": "tcp", "address": "127.0.0.1:6379"},
                "health": {"type": "exec", "command": client, **HEALTH, "timeout": "2s"},
                "stop": {"signal": "SIGKILL"},
            }
        }
    )
    running.event("container.ready", "db")
    running.until(lambda: running.of("db")["healthy"], "well")
    running.done("kill", "db", "-s", "STOP")  # it accepts, and says nothing
    assert running.event("health.failed", "db")["why"].startswith("the command had not ended in time")
    running.state("db", "running", run=2)
    running.until(lambda: running.of("db")["healthy"], "well again")
