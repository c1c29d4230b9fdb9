"""Periodic containers: `schedule`."""

import zoneinfo
from datetime import UTC, datetime

from cronsim import CronSim, CronSimError

from supervisor.config.place import Place
from supervisor.config.shapes import Given, Key, Keys, Shape, Table, leaf, pick, plain, table, words
from supervisor.config.values import WrongError, show, text
from supervisor.core.spec import Restart, Schedule


def _cron(value: object) -> str:
    cron, problem = text(value), ""
    try:
        next(CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        problem = str(error)
    except StopIteration:
        problem = "that time never comes"
    if problem:
        raise WrongError(f'{show(cron)} is not a cron expression: {problem} (write "0 3 * * *")')
    return cron


def _timezone(value: object) -> str:
    """A name that this machine's zone files know."""
    name = text(value)
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise WrongError(
            f'{show(name)} is not a time zone known here (write "Europe/Berlin" or "UTC")'
        ) from None
    return name


SCHEDULE: Keys = {
    "cron": Key(leaf(_cron, type="string"), "minute, hour, day of month, month, day of week, see crontab(5)"),
    "timezone": Key(leaf(_timezone, type="string"), 'IANA name; default "UTC"'),
    "overlap": Key(words("skip", "restart"), 'a time that comes while a run is under way; default "skip"'),
    "missed": Key(words("skip", "run"), 'times that passed while no supervisor was there; default "skip"'),
}
_TABLE = table(SCHEDULE, required=("cron",))


def _parse(value: object, place: Place) -> Table:
    """`schedule = "0 3 * * *"` is short for a table with that cron, so that it too merges with defaults."""
    if isinstance(value, str):
        return {"cron": Given(_cron(value), place)}
    if not isinstance(value, dict):
        raise WrongError(f'{show(value)} is not a schedule (write "0 3 * * *", or a table)')
    given: Table = _TABLE.parse(value, place)
    return given


SHAPE = Shape(_parse, {"oneOf": [{"type": "string"}, _TABLE.schema]})


def build_schedule(given: Table, restart: Restart, place: Place) -> Schedule:
    """A merged table as spec; reports a missing expression, and a policy that would not let it end."""
    if "cron" not in given:
        place.at("cron").report('is missing (write cron = "0 3 * * *")')
    if restart.policy in {"always", "unless-stopped"}:
        place.report(
            f'does not go with restart = "{restart.policy}", which would never let it rest'
            ' (write restart = "on-failure" or "never")'
        )
    return Schedule(**{"cron": pick(given, "cron", "")} | plain(given))
