"""The group tables: OTP strategies over containers."""

from supervisor.config.identity import NAMES_IN_ORDER
from supervisor.config.place import Place
from supervisor.config.restart import LIMIT, build_limit
from supervisor.config.shapes import Key, Keys, Table, pick, plain, table, words
from supervisor.core.spec import Group

_STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")

GROUP: Keys = {
    "members": Key(NAMES_IN_ORDER, "containers, in the order they are started"),
    "strategy": Key(words(*_STRATEGIES), 'default "one_for_one"'),
    "limit": Key(table(LIMIT), "more failures of members than this, and the group has failed; absent: never"),
    "escalate": Key(
        words("fail-group", "stop-supervisor"), 'then; default "fail-group": its members are given up'
    ),
}
SHAPE = table(GROUP, required=("members",))


def build(name: str, given: Table, place: Place) -> Group:
    """One group; reports missing members."""
    if "members" not in given or not pick(given, "members", place):
        place.at("members").report("is missing (write the names of containers)")
    return Group(**{"members": ()} | plain(given), name=name, limit=build_limit(given))
