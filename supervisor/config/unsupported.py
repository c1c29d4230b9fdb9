"""What SPEC.md describes and this version does not do: read and validated like the rest, then refused.

A key is refused, never ignored: a container must not run with less than its file promises.
"""

from collections.abc import Callable
from typing import NamedTuple

from supervisor.config.place import Place
from supervisor.config.shapes import BROKEN, Table


class Refusal(NamedTuple):
    """A key that is refused when `when` holds of its value; `absent`: also when it is not written."""

    key: str
    text: str
    when: Callable[[object], bool] = lambda _: True
    absent: bool = False


LOGS = (
    Refusal("segment_age", "closing segments by age is not supported yet (leave segment_age out)"),
    Refusal("keep", "dropping old segments is not supported yet (leave keep out)"),
    Refusal(
        "compress",
        'compression is not supported yet (write "none", or leave compress out)',
        lambda value: value != "none",
    ),
)


def refuse(refusals: tuple[Refusal, ...], given: Table, place: Place) -> None:
    """Report each refused key of a merged table where it was written."""
    for refusal in refusals:
        if refusal.key not in given:
            if refusal.absent:
                place.at(refusal.key).report(refusal.text)
            continue
        value, written = given[refusal.key]
        if value is not BROKEN and refusal.when(value):
            written.report(refusal.text)
