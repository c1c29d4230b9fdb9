"""What the repository promises of itself: its demo loads, its documents name what exists, nothing names a registry."""

import re
import tomllib
from pathlib import Path

import pytest

from supervisor.config.load import load

ROOT = Path(__file__).parents[2]


def test_the_demo_has_no_problems_and_declares_what_the_readme_shows() -> None:
    shown = set(re.findall(r"\(configs/([a-z-]+)\.toml\)", (ROOT / "README.md").read_text()))
    assert {one.name for one in load(str(ROOT / "configs")).containers} == shown


def test_the_readme_opens_with_the_two_commands() -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:12]
    assert any(line.strip().startswith("make demo") for line in first_screen)
    assert any(line.strip().startswith("make test") for line in first_screen)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_every_requirement_is_pinned_and_hashed_and_names_no_registry(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    pinned = re.findall(r"^[a-z][^ ]*==[^ ]+ \\\n    --hash=sha256:", text, re.MULTILINE)
    assert len(pinned) == len(re.findall(r"^[a-z]", text, re.MULTILINE)) > 0


def test_every_runtime_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {re.split(r"[<>=]", one)[0] for one in project["dependencies"]}
    pinned = set(re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    assert named <= pinned


def test_the_logs_folder_is_ignored_and_the_logs_room_is_not() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "/logs/*" in ignored
    assert not {"logs", "logs/", "logs/*"} & set(ignored)
