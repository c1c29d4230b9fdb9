"""python -m benchmarks.isolation [--write FILE]   what a program can reach, here and in other sandboxes.

Runs tests/escape/probe.py from the same dirty parent (tests/escape/dirty.py says what it leaks) in our default
container, in a strict one, under crun with what `crun spec` writes, under bwrap with every namespace, and with no
sandbox at all; prints a table in Markdown, or writes it to FILE. Needs root; crun and bwrap come from Debian, by
`tests/setup rivals`. Exit 1 if something of high severity is open in our default container, anything in the
strict one, or something that crun or bwrap blocks.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.escape import host, sandboxes
from tests.escape.sandboxes import PROJECT, Said

DEFAULT, STRICT, CRUN, BWRAP, NONE = "default", "strict", "crun", "bwrap", "no sandbox"
SEVERITIES = ("high", "medium", "low")
HOW = (
    "crun runs what `crun spec` writes, without cgroups where it cannot have them (then they and their names are the "
    "machine's); bwrap `--unshare-all --ro-bind ROOT / --proc /proc --dev /dev --tmpfs /tmp`; all as root."
)
SIGN = {"open": "**open**", "blocked": "blocked", "n/a": "n/a", "broken": "?"}


def measure(root: Path) -> dict[str, Said]:
    """What the probe said, by column; a rival that is not installed has none."""
    with host.set_up(root) as one:
        found = sandboxes.ours(one, root, {name: sandboxes.KINDS[name] for name in (DEFAULT, STRICT)})
        for name, run in ((CRUN, sandboxes.crun), (BWRAP, sandboxes.bwrap)):
            if shutil.which(name):
                found[name] = run(one, root)
        found[NONE] = sandboxes.nothing(one)
    return found


def openings(said: Said, severity: str = "") -> set[str]:
    """The checks that were open, of a severity or of any."""
    return {
        name for name, one in said.items() if one["result"] == "open" and severity in {"", one["severity"]}
    }


def failures(found: Mapping[str, Said]) -> list[str]:
    """What breaks our promises, one a line."""
    problems = [f"high, open in the default container: {name}" for name in openings(found[DEFAULT], "high")]
    problems += [f"open in the strict container: {name}" for name in openings(found[STRICT])]
    for rival in (CRUN, BWRAP):
        blocked = {name for name, one in found.get(rival, {}).items() if one["result"] == "blocked"}
        better = openings(found[DEFAULT]) & blocked
        problems += [f"blocked by {rival}, open in the default container: {name}" for name in better]
    return sorted(problems)


def lacking(found: Mapping[str, Said]) -> set[str]:
    """The checks of what this kernel or machine does not have: nobody can be blamed or praised for them."""
    return {name for name, one in found[NONE].items() if one["result"] == "n/a"}


def markdown(found: Mapping[str, Said]) -> str:
    lack = lacking(found)
    lines = [_row("blocked", *found), _row("---", *("---:" for _ in found))]
    for severity in (*SEVERITIES, "all"):
        wanted = "" if severity == "all" else severity
        of = {
            name for name, one in found[NONE].items() if wanted in {"", one["severity"]} and name not in lack
        }
        counts = [f"{len(of - openings(said))} of {len(of)}" for said in found.values()]
        lines.append(_row(severity, *counts))
    note = (
        f"{len(lack)} more checks are of what this kernel does not have (-). n/a: it cannot be asked there."
    )
    lines += ["", note, HOW, "", _row("check", "severity", *found, "what would be wrong")]
    lines.append(_row(*["---"] * (len(found) + 3)))
    for severity in SEVERITIES:
        for name, one in found[NONE].items():
            if one["severity"] == severity:
                signs = ["-" if name in lack else SIGN[said[name]["result"]] for said in found.values()]
                lines.append(_row(f"`{name}`", severity, *signs, one["wrong"]))
    return "\n".join(lines) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation")
    parser.add_argument("--write", type=Path, metavar="FILE")
    write = parser.parse_args(arguments).write
    subprocess.run([PROJECT / "tests/setup", "rivals"], check=False)
    made = subprocess.run([PROJECT / "tests/setup", "root"], check=True, stdout=subprocess.PIPE, text=True)
    found = measure(Path(made.stdout.strip()))
    if write:
        write.write_text(markdown(found))
    else:
        print(markdown(found))
    problems = failures(found)
    print(*problems, sep="\n", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
