"""python -m benchmarks   prints every figure; exit 1 if one could not be measured."""

import sys

from benchmarks import imports, status

if __name__ == "__main__":
    print("# benchmarks.imports: what root's process has imported", flush=True)
    failed = imports.main()
    print("\n# benchmarks.status: supervisor status with 50 containers", flush=True)
    sys.exit(status.main() or failed)
