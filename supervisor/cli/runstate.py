"""What a runtime directory says of itself, in RUNTIME_DIR/state: which format the notes, the ledger and the intent in it
have, in which boot of the machine they were written, by which program and from which files.

Laws: root alone writes it, with the lock held. What was left by another format is refused, not misread. What was left
before the last boot names processes that are gone with it: it is taken away.
"""

import json
import os
import shutil
import stat
import sys
from contextlib import suppress
from typing import NamedTuple

from supervisor import __version__
from supervisor.errors import SupervisorError
from supervisor.launcher.declaration import Origin

#: Raised whenever helper.notes, the exit file, the ledger or the intent would be misread by an earlier or later program;
#: one that can read what an earlier one wrote puts it down anew here first.
FORMAT = 1
_NAME = "state"
_LEFT = ("containers", "daemon", "root", "api.sock", "exec.sock", "capture.intent", _NAME)


class StateError(SupervisorError):
    """What is there cannot be taken over."""


class State(NamedTuple):
    """`python` is the interpreter of the program that wrote it, `origin` where its files are."""

    format: int
    version: str
    boot: str
    python: str
    origin: Origin


def take(runtime_dir: str, origin: Origin) -> bool:
    """Make it this program's; whether it had to be cleaned first. Raises StateError or OSError."""
    found = read(runtime_dir)
    cleaned = found is not None and found.boot != boot()
    if cleaned:
        _clean(runtime_dir)
    elif found is None:
        if _in_use(runtime_dir):
            raise StateError(
                f"{runtime_dir} was left by a program that says nothing of itself\n{_cure(runtime_dir)}"
            )
    elif objection := unreadable(found, runtime_dir):
        raise StateError(objection)
    _write(runtime_dir, State(FORMAT, __version__, boot(), sys.executable, origin))
    return cleaned


def unreadable(state: State, runtime_dir: str) -> str:
    """Why this program cannot carry on from it; "" when it can."""
    if state.format == FORMAT:
        return ""
    return (
        f"{runtime_dir} was left by supervisor {state.version}, in format {state.format}; this one reads {FORMAT}\n"
        + _cure(runtime_dir)
    )


def read(runtime_dir: str) -> State | None:
    """None when there is none. Raises StateError for what is none."""
    path = f"{runtime_dir}/{_NAME}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(descriptor, encoding="utf-8", errors="replace") as file:
        try:
            fields = json.load(file)
            state = State(*(fields[name] for name in State._fields))
            state = state._replace(origin=Origin(*state.origin))
        except (ValueError, KeyError, TypeError):
            raise StateError(f"{path} cannot be read\n{_cure(runtime_dir)}") from None
    if type(state.format) is not int or type(state.boot) is not str:
        raise StateError(f"{path} cannot be read\n{_cure(runtime_dir)}")
    return state


def boot() -> str:
    """This boot of the machine (random(4), boot_id)."""
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def _cure(runtime_dir: str) -> str:
    return f"stop it with the program that started it; or end its containers, and remove {runtime_dir}"


def _in_use(runtime_dir: str) -> bool:
    with suppress(FileNotFoundError):
        return bool(os.listdir(f"{runtime_dir}/containers"))
    return False


def _write(runtime_dir: str, state: State) -> None:
    """Replaced whole."""
    path = f"{runtime_dir}/{_NAME}"
    aside = os.open(
        f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644
    )
    with open(aside, "w", encoding="utf-8") as file:
        json.dump(state._asdict(), file)
    os.rename(f"{path}.new", path)


def _clean(runtime_dir: str) -> None:
    """All that is ours but the lock, which is held; by descriptors, since some of it is the daemon's (shutil.rmtree)."""
    for name in _LEFT:
        path = f"{runtime_dir}/{name}"
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(path).st_mode):
                shutil.rmtree(path)
            else:
                os.unlink(path)
