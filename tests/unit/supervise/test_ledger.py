"""What is kept is found again whole; what is damaged is refused with a reason."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor.supervise.ledger import LARGEST, Entry, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    folder = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield Ledger(folder, lambda: 12.5)
    os.close(folder)


def test_what_was_saved_last_is_loaded(ledger: Ledger) -> None:
    ledger.save("web.1", {"run": 1})
    ledger.save("web.1", {"run": 2})
    assert ledger.load("web.1") == Entry(12.5, {"run": 2})


def test_nothing_is_left_beside_the_entry_and_only_its_owner_may_read_it(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.save("web", {})
    assert [path.name for path in tmp_path.iterdir()] == ["web.json"]
    assert (tmp_path / "web.json").stat().st_mode & 0o777 == 0o600


def test_an_unknown_name_has_no_entry_and_a_forgotten_one_neither(ledger: Ledger) -> None:
    assert ledger.load("web") is None
    ledger.save("web", {})
    ledger.forget("web")
    ledger.forget("web")
    assert ledger.load("web") is None


def test_an_entry_cut_short_by_a_crash_is_never_seen(ledger: Ledger, tmp_path: Path) -> None:
    ledger.save("web", {"run": 1})
    (tmp_path / ".web.tmp").write_bytes(b'{"saved_at": 1')
    assert ledger.load("web") == Entry(12.5, {"run": 1})
    ledger.save("web", {"run": 2})
    assert ledger.load("web") == Entry(12.5, {"run": 2})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b'{"saved_at": 1e999, "content": {}}',
        b'{"saved_at": NaN, "content": {}}',
        b'{"saved_at": 1, "content": 1}',
        b"[" * 100_000,
        b" " * (LARGEST + 1),
    ],
)
def test_a_damaged_file_is_a_value_error(ledger: Ledger, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "web.json").write_bytes(data)
    with pytest.raises(ValueError, match=r".") as caught:
        ledger.load("web")
    assert str(caught.value)


def test_a_link_planted_in_its_place_is_not_followed(ledger: Ledger, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text('{"saved_at": 1, "content": {}}')
    (tmp_path / "web.json").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        ledger.load("web")
