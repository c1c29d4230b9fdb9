"""The loop of machine code is what its source says, and cannot be changed once it is loaded."""

import re
from pathlib import Path

import pytest

from supervisor.kernel import machine
from tests.support.assembling import TOOLS, assembled

SOURCE = Path(machine.__file__).parent / "machine"


@pytest.mark.parametrize("name", TOOLS)
def test_its_code_is_its_source_assembled(name: str, tmp_path: Path) -> None:
    assert machine.CODE[name] == assembled(SOURCE, name, tmp_path)


def test_it_is_mapped_to_be_read_and_executed_and_never_to_be_written() -> None:
    if not machine.load():
        pytest.skip("no code for this machine")
    maps = Path("/proc/self/maps").read_text()
    assert set(re.findall(r"(\S+) \S+ \S+ \S+ +/memfd:code", maps)) == {"r-xp"}
