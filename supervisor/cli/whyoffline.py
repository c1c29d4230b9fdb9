"""What `supervisor why` can tell while no supervisor runs: from the ledger, else from the records on disk."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any

import msgspec

from supervisor.api.address import default_runtime_dir
from supervisor.api.reading import LAST_LINES, has_log
from supervisor.core.history import Run, fold
from supervisor.core.machine import LIVE
from supervisor.core.operator import Operator
from supervisor.errors import RequestError
from supervisor.logs import walk
from supervisor.logs.damage import Damages
from supervisor.logs.lastwords import last_words
from supervisor.logs.segments import SUPERVISOR
from supervisor.logs.stamp import instant
from supervisor.supervise.ledger import Entry, Ledger
from supervisor.supervise.memory import runs_of
from supervisor.supervise.times import rfc3339
from supervisor.supervise.why import why as explained

#: The supervisor's newest records that are looked through where the ledger is gone.
MOST = 100_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_HEAD = frozenset({"ts", "level", "event", "container", "run"})


def why(
    where: str | None,
    name: str,
    runs: int | None,
    log_dir: str | None,
    refusal: RequestError | None,
    *,
    tell: Callable[[str, str], None],
) -> dict[str, Any]:
    """As the API answers, with a `note` that says where it is from; `refusal` if nothing was left behind.

    `tell` is given each file of records that cannot be read completely, and what is wrong with it.
    """
    if "/" in name or name.startswith("."):
        raise RequestError("not-found", f'no container is called "{name}"')
    runtime = where or default_runtime_dir()
    runtime = os.path.dirname(runtime) if runtime.endswith(".sock") else runtime
    entry = None if log_dir else _entry(runtime, name)
    folder = log_dir or (entry.logs if entry else "") or "logs"
    logs = -1
    with suppress(FileNotFoundError, NotADirectoryError):
        logs = os.open(folder, _FOLDER)
    try:
        if entry is None and (logs < 0 or not has_log(logs, SUPERVISOR)):
            raise refusal or RequestError("not-found", f"{folder} is not a folder of logs")
        damages = Damages(lambda file, wrong: tell(f"{folder}/{file}", wrong))
        return _told(name, runs, entry, logs, folder, damages=damages)
    finally:
        if logs >= 0:
            os.close(logs)


def _told(
    name: str, wanted: int | None, entry: Entry | None, logs: int, folder: str, *, damages: Damages
) -> dict[str, Any]:
    if entry is not None:
        machine = entry.content.get("machine")
        kept = machine if isinstance(machine, dict) else {}
        memory = entry.content.get("memory")
        past = runs_of(memory.get("runs") if isinstance(memory, dict) else None)
        state, reason, at = str(kept.get("state", "unknown")), str(kept.get("reason") or ""), entry.saved_at
        note = "no supervisor is running: this is what the last one knew"
    else:
        past = from_records(_records(logs, damages), name)
        if not past:
            raise RequestError(
                "not-found", f'nothing is on record of a container called "{name}" in {folder}'
            )
        state, reason, at = _state(past[-1]), past[-1].decision, time.time()
        note = f"no supervisor is running: this is from the records in {folder}"
    now = {"state": state, "reason": reason or None}
    told = explained(name, now, past, None, wall=at, cpus=os.cpu_count() or 1, newest=wanted)
    if state in LIVE:
        told["summary"] = f"{name} was {state} when the supervisor went; what became of it is not on record"
    for run in told["runs"]:
        ended = run["ended_at"]
        run["output"] = (
            last_words(logs, name, run["run"], ended and instant(ended), LAST_LINES, damages=damages)
            if logs >= 0
            else []
        )
    return {**told, "offline": True, "note": f"{note} at {rfc3339(at)}" if entry else note}


def _entry(runtime: str, name: str) -> Entry | None:
    try:
        folder = os.open(os.path.join(runtime, "daemon"), _FOLDER)
    except FileNotFoundError:
        return None
    try:
        return Ledger(folder, time.time).load(name)
    except ValueError:
        return None  # a file of another shape; the records are left
    finally:
        os.close(folder)


def _records(logs: int, damages: Damages) -> Iterator[dict[str, Any]]:
    """The supervisor's own, oldest first, the newest MOST of them."""

    def backwards() -> Iterator[bytes]:
        for block in walk.backwards(logs, SUPERVISOR, damages=damages):
            yield from reversed(block.split(b"\n")[:-1])

    for raw in reversed(list(islice(backwards(), MOST))):
        with suppress(msgspec.MsgspecError, RecursionError):
            record = msgspec.json.decode(raw)
            if isinstance(record, dict):
                yield record


def from_records(records: Iterable[dict[str, Any]], name: str) -> tuple[Run, ...]:
    """The history of a container as its records tell it, oldest first."""
    past: tuple[Run, ...] = ()
    asked: Operator | None = None
    for record in records:
        if record.get("container") != name:
            continue
        with suppress(KeyError, TypeError, ValueError):
            event, at = str(record["event"]), instant(record["ts"])
            if event == "operator.request":
                asked = Operator(int(record["operator"]["uid"]), int(record["operator"]["pid"]))
                continue
            number = int(record["run"])
            if event == "container.starting" and past and number <= past[-1].run:
                past = tuple(run for run in past if run.run < number)  # it was counted anew
            fields = {key: value for key, value in record.items() if key not in _HEAD}
            past = fold(past, event, number, fields, at, operator=asked)
            if event in {"container.starting", "container.stopping", "container.stopped"}:
                asked = None
    return past


def _state(last: Run) -> str:
    if last.follow is not None:
        return last.follow.event.removeprefix("container.")
    return "exited" if last.end is not None else "running"
