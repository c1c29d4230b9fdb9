"""Shapes: what a key takes, told once, for the parser and for the JSON Schema.

`read` never raises: it reports at its place and gives `BROKEN`, so that the neighbours are still read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from supervisor.config.place import Place
from supervisor.config.values import WrongError, choice, nearest, show

#: Stands for a value that was reported already.
BROKEN: Final[Any] = object()
Known = TypeVar("Known")


class Shape(NamedTuple):
    """How a value is read at its place (may raise `WrongError`), and its JSON Schema."""

    parse: Callable[[object, Place], Any]
    schema: Mapping[str, Any]


class Key(NamedTuple):
    shape: Shape
    doc: str


class Given(NamedTuple):
    """A value as read, and where it was written."""

    value: Any
    place: Place


Keys = Mapping[str, Key]
#: What a table gave, only the keys that were written; a `Given` of a table holds a Table.
Table = dict[str, Given]


def read(shape: Shape, value: object, place: Place) -> Any:
    try:
        return shape.parse(value, place)
    except WrongError as wrong:
        place.report(str(wrong))
        return BROKEN


def leaf(parse: Callable[[object], Any], **schema: Any) -> Shape:
    """A single value, read without regard to where it stands."""
    return Shape(lambda value, _: parse(value), schema)


def words(*known: str) -> Shape:
    """One of a few words."""
    return leaf(choice(*known), enum=list(known))


def list_of(item: Shape, **schema: Any) -> Shape:
    """An array; gives a tuple. Every wrong element is reported."""

    def parse(value: object, place: Place) -> Any:
        if not isinstance(value, list):
            raise WrongError(f"{show(value)} is not a list{_as_list(value, item)}")
        read_items = tuple(read(item, each, place.at(index)) for index, each in enumerate(value))
        return BROKEN if BROKEN in read_items else read_items

    return Shape(parse, {"type": "array", "items": item.schema, **schema})


def _as_list(value: object, item: Shape) -> str:
    """A hint to follow a refused value: the list that has it alone, as a string where strings are wanted."""
    if not isinstance(value, str | int):
        return ""
    word = isinstance(value, str) or item.schema.get("type") != "string"
    return f" (write [{show(value) if word else show(show(value))}])"


def table(keys: Keys, *, required: tuple[str, ...] = ()) -> Shape:
    """A table of known keys; gives a Table. `required` is told to editors only: defaults may supply it."""

    def parse(value: object, place: Place) -> Table:
        given: Table = {}
        for name, raw, at in items(value, place):
            if name in keys:
                given[name] = Given(read(keys[name].shape, raw, at), at)
            else:
                at.report(unknown(name, keys))
        return given

    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": {name: {**key.shape.schema, "description": key.doc} for name, key in keys.items()},
    }
    return Shape(parse, schema | ({"required": list(required)} if required else {}))


def mapping(name: Callable[[str], str], item: Shape, **schema: Any) -> Shape:
    """A table whose keys are free but for `name`, which gives the key as kept or raises `WrongError`; a Table."""

    def parse(value: object, place: Place) -> Table:
        given: Table = {}
        for key, raw, at in items(value, place):
            try:
                kept = name(key)
            except WrongError as wrong:
                at.report(str(wrong))
            else:
                given[kept] = Given(read(item, raw, at), at)
        return given

    return Shape(parse, {"type": "object", "additionalProperties": item.schema, **schema})


def items(value: object, place: Place) -> Iterator[tuple[str, object, Place]]:
    """Key, value and place of each entry; raises `WrongError` when it is no table."""
    if not isinstance(value, dict):
        raise WrongError(f"{show(value)} is not a table")
    return ((name, raw, place.at(name)) for name, raw in value.items())


def unknown(name: str, known: Iterable[str]) -> str:
    return "unknown key" + nearest(name, known)


def merge(base: Table, own: Table) -> Table:
    """`own` over `base`: its keys win, tables merge."""
    merged = dict(base)
    for name, given in own.items():
        below = base.get(name)
        if below and isinstance(below.value, dict) and isinstance(given.value, dict):
            merged[name] = Given(merge(below.value, given.value), given.place)
        else:
            merged[name] = given
    return merged


def pick(given: Table, name: str, default: Known) -> Known:
    """The value of a key, or `default` when it was not written or is broken."""
    value = given[name].value if name in given else BROKEN
    return default if value is BROKEN else value


def plain(given: Table) -> dict[str, Any]:
    """Keys and whole values of a table, as keyword arguments of the spec it becomes; inner tables left out."""
    return {
        name: each.value
        for name, each in given.items()
        if each.value is not BROKEN and not isinstance(each.value, dict)
    }


def pairs(given: Table) -> tuple[tuple[str, Any], ...]:
    return tuple(plain(given).items())
