"""Fixtures for what tests/setup brings: made once, shared by all tests, never written to.

A test that needs one of them is skipped, with the reason, where it cannot be had (no root, no apt).
"""

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
NOT_HERE = 77  # exit code of tests/setup and tests/vm/machine.py
INSIDE_MACHINE = "MODOKI_MACHINE" in os.environ


def setup(what: str) -> Path:
    done = subprocess.run(
        [PROJECT / "tests/setup", what], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture(scope="session")
def debian_root() -> Path:
    """A Debian root directory with nginx, Redis, PostgreSQL (its cluster `main` made), rsyslog and Python."""
    return setup("root")


@pytest.fixture
def busybox_root(tmp_path: Path) -> Path:
    """A root directory of one's own in which `/bin/sh -c …` works: a static busybox and empty mount points."""
    busybox = setup("busybox") / "busybox"
    for folder in ("bin", "dev", "etc", "proc", "sys", "tmp", "var"):
        (tmp_path / "root" / folder).mkdir(parents=True)
    root = tmp_path / "root"
    (root / "bin/busybox").write_bytes(busybox.read_bytes())
    (root / "bin/busybox").chmod(0o755)
    applets = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    for applet in set(applets) - {"busybox"}:
        (root / "bin" / applet).symlink_to("busybox")
    return root
