"""python -m benchmarks [COUNT…]   runs every benchmark, prints what it finds, and writes docs/benchmarks.

COUNT are the numbers of services that are compared (1, 10, 100, 200, 1000). Exit code 1 if something of ours could not
be measured, or is not what is promised.
"""

import os
import sys
from contextlib import suppress

from benchmarks import compare, imports, launch, logs, machine, report, scale, status

SCALES = (1, 10, 100, 1000)


def title(text: str) -> None:
    print(f"\n# {text}", flush=True)


def main(counts: tuple[int, ...]) -> int:
    facts = machine.facts()
    title("benchmarks.imports: what root's process has imported")
    failed = imports.main()
    with suppress(OSError):
        os.nice(-20)
    title("benchmarks.status: supervisor status with 50 containers")
    statuses = status.measured()
    title("benchmarks.launch: the cycle of /bin/true beside crun's")
    launches = launch.measured()
    title("benchmarks.compare: beside other supervisors and runtimes")
    peers = compare.everything(counts or compare.COUNTS)
    title("benchmarks.scale: what N default containers cost")
    scales = [scale.shown(count) for count in SCALES]
    title("benchmarks.logs: lines a second beside other loggers")
    failed |= logs.main()
    report.write(
        {
            "machine": facts,
            "versions": machine.versions(),
            "status": statuses,
            "launch": launches,
            "peers": peers,
            "scale": [one._asdict() for one in scales],
        }
    )
    sound = launch.kept(launches) and not peers[0]["why"] and all(map(scale.whole, scales))
    return failed | int(not sound)


if __name__ == "__main__":
    sys.exit(main(tuple(map(int, sys.argv[1:]))))
