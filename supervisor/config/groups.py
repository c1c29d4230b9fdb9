"""The group tables: OTP strategies over containers."""

from supervisor.config.identity import NAMES
from supervisor.config.place import Place
from supervisor.config.shapes import Key, Keys, Table, pick, plain, table, words
from supervisor.core.spec import Group

_STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")

GROUP: Keys = {
    "members": Key(NAMES, "containers, in the order they are started"),
    "strategy": Key(words(*_STRATEGIES), 'default "one_for_one"'),
}
SHAPE = table(GROUP, required=("members",))


def build(name: str, given: Table, place: Place) -> Group:
    """One group; reports missing members."""
    if "members" not in given or not pick(given, "members", place):
        place.at("members").report("is missing (write the names of containers)")
    return Group(**{"members": ()} | plain(given), name=name)
