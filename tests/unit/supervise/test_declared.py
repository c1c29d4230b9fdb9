"""What is known of runs that were declared otherwise: by the supervisor that took them over, and by those after it."""

from dataclasses import replace

import pytest

from supervisor.core.spec import Configuration, Container, Logs, Settings
from supervisor.supervise.declared import Declared

SETTINGS = Settings(Logs("/logs"))
OLD, NEW = (Container("web", "/", (word,)) for word in ("old", "new"))


def configuration(*containers: Container) -> Configuration:
    return Configuration(SETTINGS, containers)


def kept_by(declared: Configuration) -> bytes:
    kept: list[bytes] = []
    Declared(declared, kept.append).declare(declared)
    return kept[-1]


def take_over(kept: bytes | None, now: Container, run: int = 1) -> tuple[Declared, list[str], bytes]:
    """What takes over run `run` of web, which of its keys only a restart changes, and what it keeps."""
    stored: list[bytes] = []
    declared = Declared(configuration(now), stored.append)
    plan = declared.take_over(kept, {"web": run})
    return declared, [key for change in plan.restarted for key in change.keys], stored[-1]


def test_a_run_that_was_declared_otherwise_is_shown_as_it_was_until_its_next() -> None:
    declared, keys, _ = take_over(kept_by(configuration(OLD)), NEW)
    assert keys == ["command"]
    assert declared.as_it_runs(lambda _: 1) == configuration(OLD)
    assert declared.as_it_runs(lambda _: 2) == declared.as_it_runs(lambda _: 0) == configuration(NEW)


def test_it_is_known_to_one_supervisor_after_the_other() -> None:
    kept = kept_by(configuration(OLD))
    for _ in range(3):
        declared, keys, kept = take_over(kept, NEW)
        assert keys == ["command"]
        assert declared.as_it_runs(lambda _: 1) == configuration(OLD)
    assert take_over(kept, NEW, run=2)[1] == []


def test_a_reload_makes_it_as_declared() -> None:
    declared, _, _ = take_over(kept_by(configuration(OLD)), NEW)
    declared.declare(configuration(NEW))
    assert declared.as_it_runs(lambda _: 1) == configuration(NEW)


def test_what_changes_in_place_is_told_and_is_as_declared() -> None:
    stored: list[bytes] = []
    capped = replace(OLD, cgroup=(("cpu.max", "50000 100000"), *OLD.cgroup))
    declared = Declared(configuration(capped), stored.append)
    (change,) = declared.take_over(kept_by(configuration(OLD)), {"web": 1}).changed
    assert change.keys == ("cgroup.cpu.max",)
    assert declared.as_it_runs(lambda _: 1) == configuration(capped)


@pytest.mark.parametrize("kept", [None, b"", b"{", b'{"configuration": 1}', b"[" * 100_000])
def test_of_what_cannot_be_read_nothing_is_known(kept: bytes | None) -> None:
    declared, keys, _ = take_over(kept, NEW)
    assert keys == []
    assert declared.as_it_runs(lambda _: 1) == configuration(NEW)


def test_what_is_not_taken_over_or_was_not_declared_is_not_compared() -> None:
    declared = Declared(configuration(NEW, replace(NEW, name="other")), lambda _: None)
    assert declared.take_over(kept_by(configuration(OLD)), {"other": 1}).empty
