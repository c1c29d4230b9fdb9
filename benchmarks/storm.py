"""python -m benchmarks.storm [CONTAINERS] [SECONDS]   200 containers that all exit as soon as they start, for 30 s.

Starts a supervisor of its own in a temporary folder, with containers that are restarted without
back-off, so that only the brake on restarts (`restarts_per_second`, here its default) holds them.
Prints how much of a core each half of the supervisor takes, how long the API takes to tell the state of
all containers (as `supervisor status` asks for it), and how many records of which kind were written.
"""

import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from supervisor.api.call import Call

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SETTINGS = """
[supervisor]
runtime_dir = "run"
logs.dir = "logs"
[defaults]
userns = "host"
seccomp = "unconfined"
restart = { policy = "always", backoff = { initial = "1ms", factor = 1, max = "1ms" } }
"""
CONTAINER = """
[container.exits-{number}]
rootfs = "host"
command = ["/bin/false"]
"""
TICKS = os.sysconf("SC_CLK_TCK")


def used(pid: int) -> float:
    """Seconds of CPU, children not included (proc(5), stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def halves(instance: str) -> tuple[int, int]:
    """PIDs of the helper and of the unprivileged half."""
    helper = Call(instance, "GET", "/v1/info").value()["pid"]
    children = Path(f"/proc/{helper}/task/{helper}/children").read_text().split()
    daemon = next(
        int(pid) for pid in children if b"supervisor.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return helper, daemon


def ask(instance: str, seconds: float) -> list[float]:
    """Milliseconds of each answer, asked for ten times a second."""
    spans = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        began = time.perf_counter()
        Call(instance, "GET", "/v1/containers").value()
        spans.append((time.perf_counter() - began) * 1000)
        time.sleep(0.1)
    return sorted(spans)


def measure(instance: str, seconds: float) -> None:
    pids = halves(instance)
    before, began = [used(pid) for pid in pids], time.monotonic()
    spans = ask(instance, seconds)
    lasted = time.monotonic() - began
    helper, daemon = ((used(pid) - was) / lasted * 100 for pid, was in zip(pids, before, strict=True))
    print(f"unprivileged half    {daemon:7.1f} % of a core")
    print(f"helper               {helper:7.1f} % of a core")
    print(f"status, median       {spans[len(spans) // 2]:7.1f} ms")
    print(f"status, p99          {spans[int(len(spans) * 0.99)]:7.1f} ms   of {len(spans)}")


def main(count: int = 200, seconds: int = 30) -> int:
    supervisor = [sys.executable, "-m", "supervisor"]
    # Not below a folder that only root may enter: the unprivileged half writes its logs there.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.chmod(folder, 0o755)
        config, instance = Path(folder, "bench.toml"), os.path.join(folder, "run")
        config.write_text(
            SETTINGS + "".join(CONTAINER.format(number=number) for number in range(1, count + 1))
        )
        command = [*supervisor, "start", str(config), "--detach"]
        subprocess.run(command, check=False, cwd=PROJECT, stderr=subprocess.DEVNULL)
        try:
            measure(instance, seconds)
        finally:
            subprocess.run([*supervisor, "stop", "--runtime-dir", instance], check=True, cwd=PROJECT)
        lines = Path(folder, "logs", "supervisor", "current.jsonl").read_text().splitlines()
        kinds = collections.Counter(json.loads(line)["event"] for line in lines)
        for event, times in kinds.most_common():
            print(f"  {times:7} {event}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
