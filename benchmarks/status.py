"""python -m benchmarks.status [CONTAINERS]   how long `supervisor status` takes, 50 containers by default.

With containers that only sleep, the time of the whole program from exec to exit, interpreter start
included: median of 20. Beside it, for comparison, a bare `python -c pass`.
"""

import statistics
import subprocess
import sys
import time

from benchmarks.instance import PROJECT, instance

TIMES = 20
DEFAULTS = """
[defaults]
userns = "host"
seccomp = "unconfined"
"""
CONTAINER = """
[container.sleeper-{number}]
rootfs = "host"
command = ["/bin/sleep", "infinity"]
"""


def median(command: list[str]) -> float:
    """Milliseconds from exec to exit."""
    spans = []
    for _ in range(TIMES):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=PROJECT)
        spans.append((time.perf_counter() - began) * 1000)
    return statistics.median(spans)


def measured(count: int = 50) -> dict[str, float]:
    """Milliseconds, shown."""
    tables = DEFAULTS + "".join(CONTAINER.format(number=number) for number in range(1, count + 1))
    with instance(tables, started=False) as one:
        started = one.start()
        status = [*one.program, "--runtime-dir", one.runtime_dir, "status"]
        print(one.run("status").splitlines()[-1])
        found = {
            "start --detach": started * 1000,
            "supervisor status": median(status),
            "python -c pass": median([sys.executable, "-c", "pass"]),
        }
    for name, taken in found.items():
        print(f"{name:<20} {taken:7.1f} ms")
    return found


def main(count: int = 50) -> int:
    measured(count)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
