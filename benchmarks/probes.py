"""python -m benchmarks.probes   how soon an unhealthy container is restarted, and what looking at one costs.

Of each kind of health probe: containers fall ill (SIGUSR1) at moments spread over an interval, and are timed by the
records until the next run has started. Promised is `interval * retries` and a second; exit 1 if one took longer.
Then the same number of containers is looked at twice a second, and the CPU time of the helper, of the
unprivileged half and of the containers themselves, which is where probes run, is told for one probe.
"""

import sys
import time
from datetime import datetime
from typing import Any

from benchmarks import proc
from benchmarks.instance import Instance, instance

INTERVAL, RETRIES = 1.0, 3
COUNT = 10
SPAN = 10.0  # seconds for which costs are measured

_SERVICE = """
import http.server, os, signal, socket, threading
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if os.path.exists("/tmp/ill") else 200)
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 80), Page)
def fall_ill(*_):
    open("/tmp/ill", "w").close()
    server.socket.shutdown(socket.SHUT_RDWR)
if os.environ["KIND"] == "http":
    fall_ill = lambda *_: open("/tmp/ill", "w").close()
signal.signal(signal.SIGUSR1, fall_ill)
thread = threading.Thread(target=server.serve_forever, daemon=True)
thread.start()
while True:
    signal.pause()
"""
KINDS = {
    "http": 'type = "http", url = "http://127.0.0.1/"',
    "tcp": 'type = "tcp", address = "127.0.0.1:80"',
    "exec": 'type = "exec", command = ["/usr/bin/test", "!", "-e", "/tmp/ill"]',
}
_CONTAINER = """
[container.{kind}]
rootfs = "host"
command = ["/usr/bin/python3", "-c", '''{service}''']
env.KIND = "{kind}"
replicas = {count}
ready = {{ type = "tcp", address = "127.0.0.1:80" }}
health = {{ {probe}, interval = "{interval}s", retries = {retries} }}
restart = {{ policy = "always", backoff = {{ initial = "1ms", factor = 1, max = "1ms" }} }}
"""
_IDLE = """
[container.{kind}]
rootfs = "host"
command = ["/usr/bin/python3", "-c", '''{service}''']
env.KIND = "{kind}"
replicas = {count}
ready = {{ type = "tcp", address = "127.0.0.1:80" }}
"""


def tables(kind: str, interval: float) -> str:
    return _CONTAINER.format(
        kind=kind, service=_SERVICE, probe=KINDS[kind], interval=interval, retries=RETRIES, count=COUNT
    )


def moment(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["ts"]).timestamp()


def restarted(one: Instance, name: str) -> float | None:
    """When its second run had started."""
    for record in one.told():
        if record["event"] == "container.started" and record["container"] == name and record["run"] == 2:
            return moment(record)
    return None


def until_ready(one: Instance) -> None:
    while not all(container["ready"] for container in one.containers()):
        time.sleep(0.1)


def detection(kind: str) -> list[float]:
    """Seconds from falling ill to the next run, of each container."""
    with instance(tables(kind, INTERVAL)) as one:
        until_ready(one)
        time.sleep(INTERVAL)
        for container in one.containers():
            time.sleep(INTERVAL / COUNT)
            one.run("kill", container["name"], "-s", "USR1")
        signalled = (record for record in one.told() if record["event"] == "container.signalled")
        fell = {record["container"]: moment(record) for record in signalled}
        deadline = time.monotonic() + 60
        found: dict[str, float] = {}
        while len(found) < COUNT and time.monotonic() < deadline:
            for name in fell.keys() - found.keys():
                if (then := restarted(one, name)) is not None:
                    found[name] = then - fell[name]
            time.sleep(0.1)
        return sorted([*found.values()] + [60.0] * (COUNT - len(found)))


def cost(table: str) -> tuple[float, float, float]:
    """CPU seconds of the helper, the unprivileged half and all containers, in SPAN seconds."""
    with instance(table) as one:
        until_ready(one)
        time.sleep(2)
        halves = one.halves()

        def used() -> tuple[float, float, float]:
            within = sum(container["cpu"]["usage_usec"] for container in one.containers()) / 1e6
            return proc.used(halves[0]), proc.used(halves[1]), within

        before = used()
        time.sleep(SPAN)
        helper, daemon, within = (now - then for now, then in zip(used(), before, strict=True))
        return helper, daemon, within


def main() -> int:
    bound, failed = INTERVAL * RETRIES + 1, 0
    print(f"restarted after falling ill: interval {INTERVAL:g} s, retries {RETRIES}, within {bound:g} s")
    for kind in KINDS:
        spans = detection(kind)
        failed |= spans[-1] > bound
        print(f"  {kind:5} median {spans[len(spans) // 2]:5.2f} s   slowest of {COUNT} {spans[-1]:5.2f} s")
    print(f"CPU time of one probe, {COUNT} containers looked at twice a second")
    for kind in KINDS:
        idle = cost(_IDLE.format(kind=kind, service=_SERVICE, count=COUNT))
        busy = cost(tables(kind, 0.5))
        probes = COUNT * SPAN / 0.5
        helper, daemon, within = (
            (one - other) / probes * 1000 for one, other in zip(busy, idle, strict=True)
        )
        print(
            f"  {kind:5} helper {helper:5.2f} ms   unprivileged half {daemon:5.2f} ms   container {within:5.2f} ms"
        )
    return failed


if __name__ == "__main__":
    sys.exit(main())
