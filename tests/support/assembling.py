"""Machine code of the project, assembled again from its source."""

import subprocess
from pathlib import Path

from tests.support.provide import setup

#: Machine → what the names of its assembler and its friends begin with.
TOOLS = {"x86_64": "x86_64-linux-gnu-", "aarch64": "aarch64-linux-gnu-"}


def assembled(source: Path, machine: str, folder: Path) -> bytes:
    """The code of SOURCE_MACHINE.S; what is made on the way goes into `folder`."""
    setup("assemblers")
    made, code = folder / "made.o", folder / "code"
    name = f"{source}_{machine}.S"
    subprocess.run([f"{TOOLS[machine]}as", "-o", made, name], check=True)
    subprocess.run([f"{TOOLS[machine]}objcopy", "-O", "binary", "-j", ".text", made, code], check=True)
    return code.read_bytes()
