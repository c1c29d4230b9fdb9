"""The service that benchmarks start is what its source says, and tells when it began."""

import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import beacon
from tests.support.provide import setup

SOURCES = Path(beacon.__file__).parent
TOOLS = {"x86_64": "x86_64-linux-gnu-", "aarch64": "aarch64-linux-gnu-"}


@pytest.mark.parametrize("machine", TOOLS)
def test_its_code_is_its_source_assembled(machine: str, tmp_path: Path) -> None:
    setup("assemblers")
    made, code = tmp_path / "beacon.o", tmp_path / "beacon"
    subprocess.run([f"{TOOLS[machine]}as", "-o", made, SOURCES / f"beacon_{machine}.S"], check=True)
    subprocess.run([f"{TOOLS[machine]}objcopy", "-O", "binary", "-j", ".text", made, code], check=True)
    assert beacon.CODE[machine] == code.read_bytes()


@pytest.mark.parametrize("named", [True, False])
def test_it_tells_when_it_began(named: bool, tmp_path: Path) -> None:
    program = tmp_path / "program"
    beacon.write_program(str(program))
    with closing(beacon.Beacons(str(tmp_path / "beacon"))) as beacons:
        before = time.monotonic()
        with subprocess.Popen([program, *([beacons.path] if named else [])], cwd=tmp_path) as process:
            began = beacons.wait(1)
            process.kill()
    assert before <= began[0] <= time.monotonic()
