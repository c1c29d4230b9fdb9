"""python -m benchmarks.imports   the import closure of the helper: what runs with root's rights.

A fresh interpreter, started as the helper is (-I -S: no site, no .pth file, no environment), imports
what the helper starts from, and tells its sys.modules. Exit 1 if one of them is not the standard
library's, or not of the rooms that root may use.
"""

import json
import os
import subprocess
import sys
import textwrap

PROJECT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOMS = ("supervisor.errors", "supervisor.helper", "supervisor.kernel")
PROGRAM = """
import sys
bare = sorted(sys.modules)
sys.path.append(sys.argv[1])
import supervisor.helper.__main__
loaded = sorted(sys.modules)
import json
print(json.dumps([bare, loaded]))
"""


def closure() -> tuple[list[str], list[str]]:
    """sys.modules of the bare interpreter, and with the helper in it."""
    command = [sys.executable, "-I", "-S", "-c", PROGRAM, PROJECT]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    bare, loaded = json.loads(done.stdout)
    return bare, loaded


def main() -> int:
    bare, loaded = closure()
    own = [name for name in loaded if name.partition(".")[0] == "supervisor"]
    foreign = [
        name for name in loaded if name.partition(".")[0] not in {*sys.stdlib_module_names, "supervisor"}
    ]
    foreign = [name for name in foreign if name not in bare]
    strange = [name for name in own if not (name + ".").startswith(tuple(room + "." for room in ROOMS))]
    strange = [name for name in strange if name != "supervisor"]
    library = [name for name in loaded if name not in own and name not in bare and name not in foreign]
    for title, names in (
        ("of this project", own),
        ("of the standard library", library),
        ("in every interpreter", bare),
        ("FOREIGN", foreign + strange),
    ):
        print(f"{len(names)} {title}:")
        print(textwrap.fill(" ".join(names) or "none", 78, initial_indent="  ", subsequent_indent="  "))
    return 1 if foreign or strange else 0


if __name__ == "__main__":
    sys.exit(main())
