"""Supervisors from PyPI, in an environment of their own (requirements-peers.txt, pinned with hashes)."""

import functools
import hashlib
import os
import subprocess
import sys

from benchmarks.instance import PROJECT

_REQUIREMENTS = f"{PROJECT}/benchmarks/requirements-peers.txt"


@functools.cache
def peers() -> tuple[str | None, str]:
    """The folder of the environment, made if need be; None and why where it cannot be had."""
    with open(_REQUIREMENTS, "rb") as file:
        folder = f"{PROJECT}/.cache/peers-{hashlib.md5(file.read()).hexdigest()[:8]}"
    if os.path.exists(f"{folder}/done"):
        return folder, ""
    install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--only-binary", ":all:"]
    try:
        for command in (
            [sys.executable, "-m", "venv", "--clear", folder],
            [f"{folder}/bin/python", *install, "-r", _REQUIREMENTS],
        ):
            subprocess.run(command, check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "").strip().splitlines()
        return None, f"not to be had from PyPI: {said[-1] if said else error}"
    with open(f"{folder}/done", "w", encoding="utf-8"):
        return folder, ""
