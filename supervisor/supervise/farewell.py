"""The end of a container that is not declared any more and that no keeper waits for: it was removed from the files
while no supervisor was there, or its keeper died in the middle of a reload.
"""

from contextlib import suppress
from typing import Any

from supervisor.core.events import Record
from supervisor.core.machine import LIVE, laid_down
from supervisor.errors import HelperError
from supervisor.supervise import unsaid
from supervisor.supervise.ledger import Ledger
from supervisor.supervise.ports import Ended, Journal, Launcher, Log, Output


async def farewell(  # noqa: PLR0917 the ports, as the fleet has them
    end: Ended, output: Output, launcher: Launcher, journal: Journal, log: Log, ledger: Ledger
) -> None:
    """Put on record what it still had to say, and have what is left of it removed. Waits for as long as the records
    cannot be written; whoever is killed meanwhile is followed by one who is told of the same end.
    """
    try:
        output.attach(end.name, end.run)
        await output.drain(end.name)
        output.detach(end.name)
    except OSError as error:
        journal.record(
            "error", "supervisor.trouble", end.name, end.run or None,
            doing="reading its output to the end", error=str(error),
        )  # fmt: skip
    _tell(end, journal, log, ledger)
    try:
        await launcher.remove(end.name)
    except HelperError as error:
        journal.record(
            "warning", "launcher.failed", end.name, doing="removing what is left of it", error=str(error)
        )


def _tell(end: Ended, journal: Journal, log: Log, ledger: Ledger) -> None:
    """Unless its keeper has. One that is declared again goes on with the next run."""
    fields = {
        "code": end.code,
        "signal": end.signal,
        "core": end.core,
        "oom": False,
        "reason": "configuration",
    }
    decision = ("decision", "it is not declared any more")
    record = Record("info", "container.exited", end.run, (*fields.items(), decision))
    with suppress(OSError, ValueError):  # what is of no use is not made use of
        entry = ledger.load(end.name)
        if entry is not None and isinstance(machine := entry.content.get("machine"), dict):
            if _knows(machine, end.run):
                return
            content = {key: value for key, value in entry.content.items() if key != unsaid.KEY}
            content |= {"machine": laid_down(machine, end.run)} | unsaid.noted(end.name, [record], log)
            ledger.save(end.name, content)
    unsaid.say(journal, end.name, record)


def _knows(machine: dict[str, Any], run: int) -> bool:
    """Whether the end of the run was heard by a keeper; then it is on record, or was made up for (unsaid.py)."""
    latest = machine.get("run")
    return type(latest) is int and (latest > run or (latest == run and machine.get("state") not in LIVE))
