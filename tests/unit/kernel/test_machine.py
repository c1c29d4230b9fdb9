"""The loop of machine code is what its source says, and cannot be changed once it is loaded."""

import re
import subprocess
from pathlib import Path

import pytest

from supervisor.kernel import machine
from tests.support.provide import setup

SOURCES = Path(machine.__file__).parent
TOOLS = {"x86_64": "x86_64-linux-gnu-", "aarch64": "aarch64-linux-gnu-"}


@pytest.mark.parametrize("name", TOOLS)
def test_its_code_is_its_source_assembled(name: str, tmp_path: Path) -> None:
    setup("assemblers")
    made, code = tmp_path / "machine.o", tmp_path / "machine"
    subprocess.run([f"{TOOLS[name]}as", "-o", made, SOURCES / f"machine_{name}.S"], check=True)
    subprocess.run([f"{TOOLS[name]}objcopy", "-O", "binary", "-j", ".text", made, code], check=True)
    assert machine.CODE[name] == code.read_bytes()


def test_it_is_mapped_to_be_read_and_executed_and_never_to_be_written() -> None:
    if not machine.load():
        pytest.skip("no code for this machine")
    maps = Path("/proc/self/maps").read_text()
    assert set(re.findall(r"(\S+) \S+ \S+ \S+ +/memfd:code", maps)) == {"r-xp"}
