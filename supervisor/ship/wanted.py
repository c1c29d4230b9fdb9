"""Which records a sink takes: shell patterns of containers, streams, a least level, patterns of own events."""

import re
from collections.abc import Callable
from fnmatch import translate

from supervisor.core.sinks import LEVELS, Sink
from supervisor.ship.record import Head, of_shipping

_RANK = {level: rank for rank, level in enumerate(LEVELS)}


def name_wanted(sink: Sink) -> Callable[[str], bool]:
    """Whether a container is of interest; a replica also by the name of all: "web" takes web.1 too."""
    match = _any_of(sink.containers)
    return lambda name: match(name) or match(name.partition(".")[0])


def record_wanted(name: str, sink: Sink) -> Callable[[Head], bool]:
    """Whether a record of a folder of interest is taken by the sink of this name: none that is about itself."""
    named, event = name_wanted(sink), _any_of(sink.events)
    least = _RANK.get(sink.level, 0)
    streams = frozenset(sink.streams)

    def takes(head: Head) -> bool:
        if _RANK.get(head.level, 0) < least:
            return False
        if head.stream:
            return head.stream in streams
        if of_shipping(head) and head.sink == name:
            return False
        return event(head.event) and (not head.container or named(head.container))

    return takes


def _any_of(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    if not patterns:
        return lambda _: False
    expression = re.compile("|".join(map(translate, patterns)))
    return lambda name: expression.match(name) is not None
