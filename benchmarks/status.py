"""python -m benchmarks.status [CONTAINERS]   how long `supervisor status` takes, 50 containers by default.

Starts a supervisor of its own in a temporary folder, with containers that only sleep, and takes
the time of the whole program from exec to exit, interpreter start included: median of 20.
Beside it, for comparison, a bare `python -c pass`.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time

TIMES = 20
PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SETTINGS = """
[supervisor]
runtime_dir = "run"
logs.dir = "logs"
[defaults]
userns = "host"
seccomp = "unconfined"
"""
CONTAINER = """
[container.sleeper-{number}]
rootfs = "host"
command = ["/bin/sleep", "infinity"]
"""


def write_configuration(folder: str, count: int) -> str:
    path = os.path.join(folder, "bench.toml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(SETTINGS + "".join(CONTAINER.format(number=number) for number in range(1, count + 1)))
    return path


def median(command: list[str]) -> float:
    """Milliseconds from exec to exit."""
    spans = []
    for _ in range(TIMES):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=PROJECT)
        spans.append((time.perf_counter() - began) * 1000)
    return statistics.median(spans)


def main(count: int = 50) -> int:
    script = os.path.join(os.path.dirname(sys.executable), "supervisor")
    supervisor = [script] if os.path.exists(script) else [sys.executable, "-m", "supervisor"]
    # Not below a folder that only root may enter: the unprivileged half writes its logs there.
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        os.chmod(folder, 0o755)
        config = write_configuration(folder, count)
        instance = ["--runtime-dir", os.path.join(folder, "run")]
        began = time.perf_counter()
        subprocess.run([*supervisor, "start", config, "--detach"], check=True, cwd=PROJECT)
        started = time.perf_counter() - began
        try:
            table = subprocess.run(
                [*supervisor, "status", *instance], check=True, capture_output=True, text=True, cwd=PROJECT
            )
            print(table.stdout.splitlines()[-1])
            print(f"start --detach       {started * 1000:7.0f} ms  (once)")
            print(f"supervisor status    {median([*supervisor, 'status', *instance]):7.1f} ms")
            print(f"python -c pass       {median([sys.executable, '-c', 'pass']):7.1f} ms")
        finally:
            subprocess.run([*supervisor, "stop", *instance], check=True, cwd=PROJECT)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
