"""python -m benchmarks   prints every figure; exit 1 if one could not be measured, or is not what is promised."""

import sys

from benchmarks import imports, launch, status

FIGURES = (
    ("benchmarks.imports: what root's process has imported", imports.main),
    ("benchmarks.status: supervisor status with 50 containers", status.main),
    ("benchmarks.launch: the cycle of /bin/true beside crun's", launch.main),
)

if __name__ == "__main__":
    failed = 0
    for title, measure in FIGURES:
        print(f"\n# {title}", flush=True)
        failed |= measure()
    sys.exit(failed)
