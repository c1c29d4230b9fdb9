"""python -m benchmarks.storm [CONTAINERS] [SECONDS]   200 containers that all exit as soon as they start, for 30 s.

They are restarted without back-off, so that only the brake on restarts (`restarts_per_second`, here its
default) holds them. Prints how much of a core each half of the supervisor takes, how long the API takes to
tell the state of all containers (as `supervisor status` asks for it), and how many records of which kind
were written.
"""

import collections
import sys
import time
from contextlib import suppress
from subprocess import CalledProcessError

from benchmarks import proc
from benchmarks.instance import Instance, instance

TABLES = """
[defaults]
userns = "host"
seccomp = "unconfined"
restart = {{ policy = "always", backoff = {{ initial = "1ms", factor = 1, max = "1ms" }} }}
[container.exits]
rootfs = "host"
command = ["/bin/false"]
replicas = {count}
"""


def ask(one: Instance, seconds: float) -> list[float]:
    """Milliseconds of each answer, asked for ten times a second."""
    spans = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        one.containers()
        spans.append((time.perf_counter() - began) * 1000)
        time.sleep(0.1)
    return sorted(spans)


def measure(one: Instance, seconds: float) -> None:
    pids = one.halves()
    before, began = [proc.used(pid) for pid in pids], time.monotonic()
    spans = ask(one, seconds)
    lasted = time.monotonic() - began
    helper, daemon = ((proc.used(pid) - was) / lasted * 100 for pid, was in zip(pids, before, strict=True))
    print(f"unprivileged half    {daemon:7.1f} % of a core")
    print(f"helper               {helper:7.1f} % of a core")
    print(f"status, median       {spans[len(spans) // 2]:7.1f} ms")
    print(f"status, p99          {spans[int(len(spans) * 0.99)]:7.1f} ms   of {len(spans)}")


def main(count: int = 200, seconds: int = 30) -> int:
    with instance(TABLES.format(count=count), started=False) as one:
        with suppress(CalledProcessError):  # some may be held by the brake just then
            one.start()
        measure(one, seconds)
        one.stop()
        kinds = collections.Counter(record["event"] for record in one.told())
        for event, times in kinds.most_common():
            print(f"  {times:7} {event}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
