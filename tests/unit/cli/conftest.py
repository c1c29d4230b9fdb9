"""The command line against the API's own test server."""

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from supervisor.cli.main import main

# tests/ is no package (--import-mode=importlib), so the API's fakes are loaded by path.
_path = os.path.join(os.path.dirname(os.path.dirname(__file__)), "api", "conftest.py")
_spec = importlib.util.spec_from_file_location("api_fakes", _path)
assert _spec
assert _spec.loader
fakes = importlib.util.module_from_spec(_spec)
sys.modules["api_fakes"] = fakes
_spec.loader.exec_module(fakes)

folder = fakes.folder
served = fakes.served


@pytest.fixture
def container() -> Callable[..., dict[str, Any]]:
    made: Callable[..., dict[str, Any]] = fakes.container
    return made


@pytest.fixture
def run(
    folder: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """main() on the server's runtime dir: exit code, stdout, stderr."""
    monkeypatch.setenv("SUPERVISOR_RUNTIME_DIR", folder)
    monkeypatch.chdir(folder)

    def call(*argv: str) -> tuple[int, str, str]:
        code = main(argv)
        return (code, *capsys.readouterr())

    return call
