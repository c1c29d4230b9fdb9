"""Who gives way when there is no more room for connections.

Laws: pure; nobody is ended whose answer we owe, only who keeps us waiting; a user who fills
what one user may have pays with the own connections; nobody keeps root out.
"""

import math
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple, Protocol, TypeVar

from supervisor.api.limits import Limits


class Guest(Protocol):
    @property
    def uid(self) -> int: ...

    @property
    def waiting_since(self) -> float:
        """Since when it has kept us waiting, in seconds of some clock; infinity: it does not."""


G = TypeVar("G", bound=Guest)


class Full(NamedTuple):
    """No room, and nobody who could be asked to leave."""


def room_for(uid: int, guests: Collection[G], limits: Limits) -> G | Full | None:
    """None: there is room for one more of this user; a guest: once that one has left."""
    own = [each for each in guests if each.uid == uid]
    if len(own) >= limits.each:
        return _first_to_go(own)
    others = [each for each in guests if each.uid != 0]
    if uid == 0 or len(others) < limits.everybody:
        return None
    return _first_to_go(others)


def _first_to_go(among: Collection[G]) -> G | Full:
    """The one that has kept us waiting longest, of the user with the most connections."""
    many = Counter(each.uid for each in among)
    waiting = [each for each in among if each.waiting_since < math.inf]
    return min(waiting, key=lambda each: (-many[each.uid], each.waiting_since)) if waiting else Full()
