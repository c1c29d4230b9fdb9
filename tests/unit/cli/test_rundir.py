"""Holds: who asks looks where the same user's `start` put it, whatever the environment says."""

import os
from pathlib import Path

import pytest

from supervisor.api.address import default_runtime_dir
from supervisor.cli import declare

WEB = '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\n'


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("told", [None, "", "relative", "/run/user/7", "/run//user/7/"])
def test_every_command_looks_where_start_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: str | None, uid: int
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: uid)
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    monkeypatch.delenv("SUPERVISOR_RUNTIME_DIR", raising=False)
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if told is not None:
        monkeypatch.setenv("XDG_RUNTIME_DIR", told)
    (tmp_path / "web.toml").write_text(WEB)
    origin = declare.here(f"{tmp_path}/web.toml", None, root=uid == 0)
    started = declare.read(origin, root=uid == 0).settings.runtime_dir
    assert started == default_runtime_dir()
    assert started.startswith("/run/user/" if uid else "/run/supervisor")
