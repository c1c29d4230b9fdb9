"""Which 65,536 user and group ids of the host each container gets: pure, and the same at every start.

A name hashes to a place in the pool; names that meet take the next free place, in the order of
their names. So a container keeps its ids while others come and go, files in a persistent layer keep
their meaning, and a supervisor that takes over after a crash gives nobody the ids of what still runs.
Under a running supervisor names that have ids keep them, whoever comes beside them.
"""

import hashlib
from collections.abc import Iterable, Mapping

from supervisor.helper.protocol import IDS

EACH = IDS


def allocate(
    names: Iterable[str], first: int, count: int, seed: str, held: Mapping[str, int] | None = None
) -> dict[str, int]:
    """The first id of each name; `seed` tells instances apart, `held` is the first id of those that have
    some, also of names that are not asked about. Raises ValueError when the pool is too small.
    """
    places = count // EACH
    wanted, held = set(names), held or {}
    taken = {(start - first) // EACH: name for name, start in held.items()}
    for name in sorted(wanted - held.keys()):
        if len(taken) == places:
            raise ValueError(f"the id pool has room for {places} containers")
        place = int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:8]) % places
        while place in taken:
            place = (place + 1) % places
        taken[place] = name
    return {name: first + place * EACH for place, name in taken.items() if name in wanted}
