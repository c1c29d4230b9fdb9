"""python -m benchmarks [COUNT…]   runs every benchmark, prints what it finds, and writes docs/benchmarks.

COUNT are the numbers of services that are compared (1, 10, 100, 200, 1000). Exit code 1 if something of ours could not
be measured, or is not what is promised.
"""

import os
import sys
from contextlib import suppress

from benchmarks import compare, imports, launch, logs, machine, query, report, scale, status

SCALES = (1, 10, 100, 1000)


def title(text: str) -> None:
    print(f"\n# {text}", flush=True)


def main(counts: tuple[int, ...]) -> int:
    """What has been found is written after each part, so that a run may be ended early."""
    results: report.Results = {"machine": machine.facts(), "versions": machine.versions()}
    title("benchmarks.imports: what root's process has imported")
    failed = imports.main()
    with suppress(OSError):
        os.nice(-20)
    title("benchmarks.status: supervisor status with 50 containers")
    results["status"] = status.measured()
    title("benchmarks.launch: the cycle of /bin/true beside crun's")
    results["launch"] = launch.measured()
    title("benchmarks.compare: beside other supervisors and runtimes")
    results["peers"] = []
    for one in compare.everything(counts or compare.COUNTS):
        results["peers"].append(one)
        report.write(results)
    title("benchmarks.scale: what N default containers cost")
    results["scale"], whole = [], True
    for count in SCALES:
        found = scale.shown(count)
        results["scale"].append(found._asdict())
        report.write(results)
        whole &= scale.whole(found)
    title("benchmarks.logs: lines a second beside other loggers")
    results["logs"] = logs.measured()
    report.write(results)
    title("benchmarks.query: finding records in ten gigabytes")
    results["query"] = query.measured()
    report.write(results)
    whole &= logs.whole(results["logs"]) and query.kept(results["query"])
    sound = whole and launch.kept(results["launch"]) and not results["peers"][0]["why"]
    return failed | int(not sound)


if __name__ == "__main__":
    sys.exit(main(tuple(map(int, sys.argv[1:]))))
