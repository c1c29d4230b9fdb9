"""Holds: what cannot be made is named, also where the kernel speaks of a descriptor."""

import errno
import os
from pathlib import Path

import pytest

from supervisor.cli import folders
from supervisor.core.spec import Configuration, Logs, Monitor, Settings


def made(tmp_path: Path) -> None:
    settings = Settings(runtime_dir=f"{tmp_path}/run", logs=Logs(dir=f"{tmp_path}/logs"), monitor=Monitor())
    folders.make(Configuration(containers=(), settings=settings), os.getuid(), os.getgid())


@pytest.mark.parametrize("call", ["fchmod", "fchown"])
@pytest.mark.parametrize("name", ["run", "run/daemon", "logs/supervisor"])
def test_a_folder_on_a_disk_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, name: str
) -> None:
    real = getattr(os, call)

    def refuse(descriptor: int, *how: int) -> None:
        if os.readlink(f"/proc/self/fd/{descriptor}") == f"{tmp_path}/{name}":
            raise OSError(errno.EROFS, "Read-only file system")
        real(descriptor, *how)

    made(tmp_path)
    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError, match="Read-only") as caught:
        made(tmp_path)
    assert caught.value.filename == f"{tmp_path}/{name}"
