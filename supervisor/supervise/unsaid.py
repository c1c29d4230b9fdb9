"""Records that a killed supervisor had still to write: none is lost, none is written twice.

What a container has become is saved before it is on record, and whoever is killed between the two would take the
records with it. So they are saved along with it, and where in the log they go. Who comes after looks there.

Laws:
- Between saving and writing no other task has a turn: behind that place come the records that waited to be
  written, and then these. So no more than these are looked at, however long ago that was.
- What is not among them is missing, and written by the same rule: it is saved first, with the place where it goes now.
- Records of its steps that wait because they cannot be written are saved again with each step, until they are written;
  the newest MOST of them, since an entry is of bounded size.
- In a log that is another one by now nothing is missing.
"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from supervisor.core.events import Record
from supervisor.supervise.ledger import Entry
from supervisor.supervise.outside import Ports
from supervisor.supervise.ports import Journal, Log

KEY = "unsaid"
MOST = 200
#: What the events of steps begin with. What other rooms record of a container is not in the ledger either.
_STEPS = "container."
#: Of a record on disk, what the noted one does not have.
_OWN = frozenset({"ts", "level"})
#: Of a record on disk, what the noted one does not have among its fields.
_HEAD = frozenset({"ts", "level", "event", "container", "run"})


def say(journal: Journal, name: str, record: Record) -> None:
    journal.record(record.level, record.event, name, record.run or None, **dict(record.fields))


def noted(name: str, records: Iterable[Record], log: Log) -> dict[str, Any]:
    """What goes into the ledger's entry of a container right before these are recorded."""
    rows: list[Any] = []
    try:
        for one in log.waiting(name, _STEPS)[-MOST:]:
            fields = {key: value for key, value in one.items() if key not in _HEAD}
            rows.append((one["level"], one["event"], one.get("run", 0), fields))
        rows += [(one.level, one.event, one.run, dict(one.fields)) for one in records]
        return {KEY: {"place": log.place(), "records": rows}} if rows else {}
    except OSError:
        return {}  # where they go cannot be told: it is said, as ever, by whoever cannot write them


def missing(name: str, content: dict[str, Any], log: Log) -> list[Record]:
    """Of what was noted in an entry, what is not on record. OSError."""
    match content.get(KEY):
        case {"place": [str() as stem, int() as size, int() as waited], "records": list(rows)}:
            wanted = [record for row in rows if (record := _record(row)) is not None]
        case _:
            return []
    found = log.behind((stem, size, waited), len(wanted))
    if found is None:
        return []
    there = [{key: value for key, value in one.items() if key not in _OWN} for one in found]
    lacking = []
    for record in wanted:
        entry = {"event": record.event, "container": name, **dict(record.fields)}
        entry |= {"run": record.run} if record.run else {}
        if entry in there:
            there.remove(entry)
        else:
            lacking.append(record)
    return lacking


def make_up(name: str, entry: Entry, ports: Ports) -> None:
    """Write what is missing. OSError where it cannot be found out."""
    if entry.logs != ports.ledger.logs:
        return
    lacking = missing(name, entry.content, ports.log)
    if not lacking:
        return
    content = {key: value for key, value in entry.content.items() if key != KEY}
    ports.ledger.save(name, content | noted(name, lacking, ports.log), entry.saved_at)
    for record in lacking:
        say(ports.journal, name, record)


def recall_others(declared: Collection[str], ports: Ports) -> None:
    """As `make_up`, for all that are not declared any more."""
    with suppress(OSError):
        for name in ports.ledger.names():
            if name not in declared:
                recall(name, ports)


def recall(name: str, ports: Ports) -> None:
    """As `make_up`; what is of no use is left alone."""
    try:
        entry = ports.ledger.load(name)
        if entry is not None:
            make_up(name, entry, ports)
    except (OSError, ValueError):
        return


def _record(row: Any) -> Record | None:
    match row:
        case [str() as level, str() as event, int() as run, dict() as fields]:
            return Record(level, event, run, tuple(fields.items()))
    return None
