"""When a container is started again, and how it is stopped."""

from supervisor.config.place import Place
from supervisor.config.shapes import Given, Key, Keys, Shape, Table, leaf, list_of, pick, plain, table, words
from supervisor.config.units import duration, duration_from, signal_name
from supervisor.config.values import WrongError, choice, number, show, whole
from supervisor.core.backoff import Backoff
from supervisor.core.spec import Limit, Restart, Stop

_POLICIES = ("always", "on-failure", "unless-stopped", "never")
_policy = choice(*_POLICIES)
#: The schema of a duration; the words are those of SPEC.
DURATION = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$"}

#: Of attempts that must not follow each other at once.
BACKOFF: Keys = {
    "initial": Key(leaf(duration_from(0.001), **DURATION), "delay before the first restart; default 100ms"),
    "factor": Key(
        leaf(number(1, 1000), type="number", minimum=1),
        "each next delay is this many times longer; default 2",
    ),
    "max": Key(leaf(duration_from(0.001), **DURATION), "longest delay; default 30s"),
    "jitter": Key(
        leaf(number(0, 1), type="number", minimum=0, maximum=1),
        "random share added or taken off; default 0.1",
    ),
}
#: Restarts are held by supervisor.restarts_per_second, whatever their delay.
_BACKOFF: Keys = {
    **BACKOFF,
    "initial": Key(
        leaf(duration, **DURATION), 'delay before the first restart, "0s": all are at once; default 100ms'
    ),
    "max": Key(leaf(duration, **DURATION), "longest delay; default 30s"),
}
LIMIT: Keys = {
    "failures": Key(leaf(whole(1, 1_000_000), type="integer", minimum=1), "more failures than this …"),
    "within": Key(leaf(duration_from(0.001), **DURATION), "… in this time, and the container is given up"),
}
RESTART: Keys = {
    "policy": Key(words(*_POLICIES), 'default "on-failure"'),
    "success": Key(
        list_of(leaf(whole(0, 255), type="integer", minimum=0, maximum=255)),
        "exit codes that are not failures",
    ),
    "backoff": Key(table(_BACKOFF), "delays between restarts"),
    "reset_after": Key(leaf(duration, **DURATION), "a run that lasted this long clears the failure history"),
    "limit": Key(table(LIMIT), "when to give up; absent: never"),
}
STOP: Keys = {
    "signal": Key(
        leaf(signal_name, type=["string", "integer"]), 'asks the container to end; default "SIGTERM"'
    ),
    "timeout": Key(leaf(duration, **DURATION), "then everything in the cgroup is killed; default 10s"),
}
_TABLE = table(RESTART)


def _parse(value: object, place: Place) -> Table:
    """`restart = "always"` is short for a table with that policy, so that it too merges with defaults."""
    if isinstance(value, str):
        return {"policy": Given(_policy(value), place)}
    if not isinstance(value, dict):
        raise WrongError(f'{show(value)} is not a restart policy (write "on-failure", or a table)')
    given: Table = _TABLE.parse(value, place)
    return given


SHAPE = Shape(_parse, {"oneOf": [{"enum": list(_POLICIES)}, _TABLE.schema]})


def build_restart(given: Table) -> Restart:
    """The policy of a merged table; reports what does not fit together."""
    backoff = Backoff()
    if table_given := pick(given, "backoff", Table()):
        backoff = Backoff(**plain(table_given))
        if backoff.initial > backoff.max:
            given["backoff"].place.report(
                f"initial ({backoff.initial:g}s) is longer than max ({backoff.max:g}s)"
            )
    return Restart(**plain(given), backoff=backoff, limit=build_limit(given))


def build_limit(given: Table) -> Limit | None:
    if "limit" not in given:
        return None
    limit = pick(given, "limit", Table())
    for name, example in (("failures", "5"), ("within", '"60s"')):
        if name not in limit and isinstance(given["limit"].value, dict):
            given["limit"].place.at(name).report(f"is missing (write {name} = {example})")
    return Limit(pick(limit, "failures", 1), pick(limit, "within", 1.0))


def build_stop(given: Table) -> Stop:
    return Stop(**plain(given))
