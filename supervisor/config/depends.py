"""Order among containers: `after = ["db"]`, or `after = { db = "ready", migrate = "succeeded" }`."""

from supervisor.config.identity import NAMES
from supervisor.config.place import Place
from supervisor.config.shapes import BROKEN, Given, Key, Keys, Shape, Table, mapping, pick, words
from supervisor.config.values import text
from supervisor.core.spec import Depends

_CONDITIONS = ("ready", "succeeded")
_BY_NAME = mapping(text, words(*_CONDITIONS))


def _parse(value: object, place: Place) -> Table:
    """A list of names is short for a table that says "ready" of each, so that it too merges with defaults."""
    if isinstance(value, dict):
        given: Table = _BY_NAME.parse(value, place)
        return given
    names = NAMES.parse(value, place)
    return {} if names is BROKEN else {name: Given("ready", place) for name in names}


AFTER = Shape(_parse, {"oneOf": [NAMES.schema, _BY_NAME.schema]})
DEPENDS: Keys = {
    "after": Key(AFTER, 'started once these are ready, or have "succeeded"; stopped before them'),
    "requires": Key(NAMES, "as after, and goes down with these"),
}


def build(given: Table) -> Depends:
    after = pick(given, "after", Table())
    return Depends(
        after=tuple(after),
        requires=pick(given, "requires", ()),
        succeeded=tuple(name for name, condition in after.items() if condition.value == "succeeded"),
    )
