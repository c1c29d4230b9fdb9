"""The end of a container that is not declared any more and that no keeper waits for: it was removed from the files
while no supervisor was there, or its keeper died in the middle of a reload.
"""

from contextlib import suppress

from supervisor.core.machine import laid_down
from supervisor.errors import HelperError
from supervisor.supervise.ledger import Ledger
from supervisor.supervise.ports import Ended, Journal, Launcher, Output


async def farewell(end: Ended, output: Output, launcher: Launcher, journal: Journal, ledger: Ledger) -> None:
    """Put on record what it still had to say, and have what is left of it removed. Waits for as long as the records
    cannot be written; whoever is killed meanwhile is followed by one who is told of the same end.
    """
    try:
        output.attach(end.name, end.run)
        await output.drain(end.name)
        output.detach(end.name)
        _lay_down(ledger, end)
    except OSError as error:
        journal.record(
            "error", "supervisor.trouble", end.name, end.run or None,
            doing="reading its output to the end", error=str(error),
        )  # fmt: skip
    journal.record(
        "info", "container.exited", end.name, end.run or None,
        code=end.code, signal=end.signal, oom=False, reason="configuration", decision="it is not declared any more",
    )  # fmt: skip
    try:
        await launcher.remove(end.name)
    except HelperError as error:
        journal.record(
            "warning", "launcher.failed", end.name, doing="removing what is left of it", error=str(error)
        )


def _lay_down(ledger: Ledger, end: Ended) -> None:
    """One that is declared again goes on with the next run."""
    with suppress(ValueError):  # what is of no use is not made use of
        entry = ledger.load(end.name)
        if entry is not None and isinstance(machine := entry.content.get("machine"), dict):
            ledger.save(end.name, {**entry.content, "machine": laid_down(machine, end.run)})
