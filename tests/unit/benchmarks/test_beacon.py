"""The service that benchmarks start is what its source says, and tells when it began."""

import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks import beacon
from tests.support.assembling import TOOLS, assembled

SOURCE = Path(beacon.__file__).parent / "beacon"


@pytest.mark.parametrize("machine", TOOLS)
def test_its_code_is_its_source_assembled(machine: str, tmp_path: Path) -> None:
    assert beacon.CODE[machine] == assembled(SOURCE, machine, tmp_path)


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
