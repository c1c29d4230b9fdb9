"""What this version does not do is validated, then refused where it stands, never ignored."""

from pathlib import Path

import pytest

from supervisor.config.load import load
from supervisor.errors import ConfigError

WEB = '[container.web]\nrootfs = "host"\nuserns = "host"\ncommand = ["/bin/true"]\n'

REFUSED = [
    ("[supervisor.logs]\nsegment_age = '1h'", 6, "supervisor.logs.segment_age"),
    ("[supervisor.logs]\nkeep = '1GiB'", 6, "supervisor.logs.keep"),
    ("[supervisor.logs]\ncompress = 'zstd'", 6, "supervisor.logs.compress"),
]
ACCEPTED = [
    "seccomp = 'unconfined'",
    "no_new_privileges = false",
    "devices = []",
    "rootfs_mode = 'overlay'",
    "[supervisor.logs]\ncompress = 'none'",
    "[supervisor.logs]\nsegment = '1MiB'",
    "seccomp = 'default'",
    "ready = { type = 'notify', watchdog = '10s' }",
    "health = { type = 'exec', command = ['/bin/true'] }",
    "[group.app]\nmembers = ['web']\nlimit = { failures = 3, within = '1m' }\nescalate = 'stop-supervisor'",
    "depends.after = ['db']\n" + WEB.replace("web", "db"),
    "depends = { after = { db = 'succeeded' }, requires = ['db'] }\n" + WEB.replace("web", "db"),
]


def run(folder: Path, text: str) -> list[tuple[int, str, str]]:
    (folder / "c.toml").write_text(text)
    try:
        load("c.toml", cwd=str(folder), environ={})
    except ConfigError as error:
        return [problem[1:] for problem in error.problems]
    return []


@pytest.mark.parametrize(("text", "line", "key"), REFUSED)
def test_it_is_refused_and_nothing_else_is_said(tmp_path: Path, text: str, line: int, key: str) -> None:
    ((found_line, found_key, said),) = run(tmp_path, WEB + text + "\n")
    assert (found_line, found_key) == (line, key)
    assert " not supported yet (" in said


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_is_supported_is_not_refused(tmp_path: Path, text: str) -> None:
    assert run(tmp_path, WEB + text + "\n") == []
