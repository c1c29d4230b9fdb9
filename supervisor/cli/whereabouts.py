"""Which folder the records of an instance lie in, and whether they can be read there."""

import os
import time

from supervisor.api.address import default_runtime_dir
from supervisor.api.call import QUICK, Call
from supervisor.errors import RequestError
from supervisor.logs.segments import SUPERVISOR

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def log_folder(where: str | None) -> str | None:
    """Of the supervisor that runs, else of the one that ran last, else `logs`; None: ask the one that runs.

    RequestError where none runs, or none that answers, and nothing was left behind.
    """
    try:
        info = Call(where, "GET", "/v1/info", timeout=QUICK).value()
    except RequestError as error:
        if error.code not in ("unavailable", "failed"):
            raise
        for candidate in (last_folder(runtime_dir(where)), "logs"):
            if candidate and os.path.isdir(candidate):
                return candidate
        raise
    folder = str(info["log_dir"])
    return folder if readable(folder, str(info.get("log_id"))) else None


def readable(folder: str, identity: str) -> bool:
    """Whether we may read the files, and see the same ones: in a container or chroot the name may be another folder's.

    Who may only use the socket may not: containers' folders are the supervisor's account's.
    """
    try:
        found = os.stat(folder)
    except OSError:
        return False
    same = identity == f"{found.st_dev}:{found.st_ino}"
    return same and os.access(os.path.join(folder, SUPERVISOR), os.R_OK | os.X_OK)


def runtime_dir(where: str | None) -> str:
    found = where or default_runtime_dir()
    return os.path.dirname(found) if found.endswith(".sock") else found


def last_folder(runtime: str) -> str:
    """Where the supervisor had its logs that last wrote down what it knows; "" if nothing tells."""
    from supervisor.supervise.ledger import SUFFIX, Ledger  # noqa: PLC0415  # msgspec, where no supervisor runs

    try:
        folder = os.open(os.path.join(runtime, "daemon"), _FOLDER)
    except OSError:
        return ""
    try:
        ledger = Ledger(folder, time.time)
        found = [("", 0.0)]
        for entry in os.listdir(folder):
            if entry.endswith(SUFFIX):
                try:
                    kept = ledger.load(entry.removesuffix(SUFFIX))
                except (ValueError, OSError):
                    continue
                if kept is not None and kept.logs:
                    found.append((kept.logs, kept.saved_at))
        return max(found, key=lambda each: each[1])[0]
    finally:
        os.close(folder)
