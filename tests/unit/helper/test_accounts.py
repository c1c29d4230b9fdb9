"""Accounts are what the root directory's own files say, and only a file that is not there says nothing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.errors import KernelError
from supervisor.helper.accounts import Account, look_up

LookUp = Callable[[str], Account]


@pytest.fixture
def of(tmp_path: Path) -> Iterator[LookUp]:
    (tmp_path / "etc").mkdir()
    root = os.open(tmp_path, os.O_PATH | os.O_DIRECTORY)
    yield lambda user: look_up(root, user, ())
    os.close(root)


def test_a_number_has_the_group_and_home_that_the_file_gives_it(of: LookUp, tmp_path: Path) -> None:
    (tmp_path / "etc/passwd").write_text("keeper:x:42:43::/srv:/bin/sh\n")
    assert of("42") == of("keeper") == Account(42, 43, (43,), "/srv")


def test_a_number_needs_no_file(of: LookUp) -> None:
    assert of("42") == Account(42, 0, (0,), "/")


def test_a_file_that_cannot_be_read_is_not_an_empty_one(of: LookUp, tmp_path: Path) -> None:
    (tmp_path / "etc/passwd").symlink_to("passwd")
    with pytest.raises(KernelError):
        of("42")


def test_a_fifo_is_not_waited_for(of: LookUp, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "etc/passwd")
    assert of("42").gid == 0
