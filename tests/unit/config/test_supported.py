"""Every key that is documented is taken."""

from pathlib import Path

import pytest

from supervisor.config.load import load

WEB = '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\n'
ACCEPTED = [
    "seccomp = 'unconfined'",
    "no_new_privileges = false",
    "devices = []",
    "rootfs_mode = 'overlay'",
    "[supervisor.logs]\nsegment_age = '1h'\nkeep = '1GiB'\nkeep_age = '30d'\ncompress = 'gzip'\nsync = '1s'",
    "[supervisor.logs]\nsegment = '1MiB'",
    "seccomp = 'default'",
    "ready = { type = 'notify', watchdog = '10s' }",
    "health = { type = 'exec', command = ['/bin/true'] }",
    "[group.app]\nmembers = ['web']\nlimit = { failures = 3, within = '1m' }\nescalate = 'stop-supervisor'",
    "depends.after = ['db']\n" + WEB.replace("web", "db"),
    "depends = { after = { db = 'succeeded' }, requires = ['db'] }\n" + WEB.replace("web", "db"),
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_is_supported_is_not_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(WEB + text + "\n")
    assert load("c.toml", cwd=str(tmp_path), environ={}).containers[0].name == "web"
