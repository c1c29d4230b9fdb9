"""Every test marked `vm` holds on Debian's kernel with cgroup v2 alone.

They run in one throwaway machine (`machine.py`), by one pytest, whose results come out as JUnit XML and are told
here one by one. Emulation makes Python 18 times slower: mark what needs cgroup v2, not what could as well run outside.
"""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.support.provide import NOT_HERE, PROJECT

WHERE = ["tests/kernel", "tests/vm/inside"]
# Plugins cost seconds of imports in there.
WITHOUT = [word for name in ("hypothesispytest", "anyio", "cacheprovider") for word in ("-p", f"no:{name}")]
#: It takes some minutes, and many on a slow or busy machine; what takes longer hangs.
SECONDS = 3600


@pytest.mark.vm
def test_inside_the_machine(
    tmp_path: Path, subtests: pytest.Subtests, capfd: pytest.CaptureFixture[str]
) -> None:
    inner = [
        sys.executable,
        "-m",
        "pytest",
        "-m",
        "vm",
        *WITHOUT,
        f"--junitxml={tmp_path}/results.xml",
        *WHERE,
    ]
    machine = [f"{PROJECT}/tests/vm/machine.py", f"--timeout={SECONDS}", f"--out={tmp_path}", "--"]
    with capfd.disabled():  # as it comes: it takes minutes
        print(f"\n{'inside the machine':─^80}", flush=True)
        done = subprocess.run(
            [sys.executable, *machine, *inner], cwd=PROJECT, stderr=subprocess.PIPE, text=True, check=False
        )
        print("─" * 80, flush=True)
    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip())
    results = (tmp_path / "results.xml").exists() and ET.parse(tmp_path / "results.xml").findall(
        ".//testcase"
    )
    assert results, f"no results, exit code {done.returncode}\n{done.stderr}"
    for result in results:
        with subtests.test(f"{result.get('classname')}::{result.get('name')}"):
            tell(result)
    assert done.returncode == 0, done.stderr


def tell(result: ET.Element) -> None:
    for outcome in result:
        if outcome.tag in {"failure", "error"}:
            pytest.fail(str(outcome.text), pytrace=False)
        if outcome.tag == "skipped":
            pytest.skip(outcome.get("message", ""))
