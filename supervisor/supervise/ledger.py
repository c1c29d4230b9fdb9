"""What is known of each container, kept where the next supervisor finds it: NAME.json.

Laws:
- A file is replaced whole (written aside, renamed): it is the old one or the new one, never half.
  Nothing is fsynced; the folder is a tmpfs, and what outlives a power cut is not wanted here.
- What cannot be read is reported and left out; no file's content can stop the supervisor.
- Everything goes through one directory fd: the path may lie where this account cannot walk.

An entry is what the keeper makes it, put in an envelope that says when (wall clock) it was written.
"""

import json
import os
from collections.abc import Callable
from math import isfinite
from typing import Any, NamedTuple

import msgspec

SUFFIX = ".json"
#: An entry holds twenty runs at most; what is larger was not written here.
LARGEST = 1 << 20


class Entry(NamedTuple):
    """`saved_at` is seconds since the epoch."""

    saved_at: float
    content: dict[str, Any]
    logs: str = ""


class Ledger:
    """`folder` is an open directory; it stays the caller's to close. `logs` is where the logs are, for readers."""

    def __init__(self, folder: int, wall: Callable[[], float], logs: str = "") -> None:
        self.logs = logs
        self._folder = folder
        self._wall = wall

    def save(self, name: str, content: dict[str, Any], saved_at: float | None = None) -> None:
        """`saved_at`: the time that its ages count from, without one now. Raises OSError when the folder cannot be written."""
        then = self._wall() if saved_at is None else saved_at
        envelope = {"saved_at": then, "logs": self.logs, "content": content}
        put(self._folder, f"{name}{SUFFIX}", msgspec.json.encode(envelope))

    def load(self, name: str) -> Entry | None:
        """None if there is none; ValueError or OSError, saying why, if it is of no use."""
        data = get(self._folder, f"{name}{SUFFIX}", LARGEST + 1)
        if data is None:
            return None
        if len(data) > LARGEST:
            raise ValueError(f"larger than {LARGEST} bytes")
        try:
            envelope = json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        match envelope:
            case {"saved_at": int() | float() as saved_at, "content": dict() as content} if isfinite(
                saved_at
            ):
                logs = envelope.get("logs")
                return Entry(float(saved_at), content, logs if isinstance(logs, str) else "")
        raise ValueError("not an entry")

    def names(self) -> list[str]:
        """Of all that there is an entry of. Raises OSError when the folder cannot be read."""
        return [name.removesuffix(SUFFIX) for name in os.listdir(self._folder) if name.endswith(SUFFIX)]

    def forget(self, name: str) -> None:
        try:
            os.unlink(f"{name}{SUFFIX}", dir_fd=self._folder)
        except FileNotFoundError:
            return


def get(folder: int, name: str, most: int = -1) -> bytes | None:
    """All of that file, or so many bytes; None if there is none. Raises OSError."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        return file.read(most)


def put(folder: int, name: str, data: bytes) -> None:
    """In place of the file of that name, whole. Raises OSError."""
    aside = f".{name}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(aside, flags, 0o600, dir_fd=folder)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
    finally:
        os.close(fd)
    os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder)
