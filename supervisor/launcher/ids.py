"""Which 65,536 user and group ids of the host each container gets: pure, and the same at every start.

A name hashes to a place in the pool; names that meet take the next free place, in the order of
their names. So a container keeps its ids while others come and go, files in a persistent layer keep
their meaning, and a supervisor that takes over after a crash gives nobody the ids of what still runs.
"""

import hashlib
from collections.abc import Iterable

EACH = 65536


def allocate(names: Iterable[str], first: int, count: int, seed: str) -> dict[str, int]:
    """The first id of each name; `seed` tells instances apart. Raises ValueError when the pool is too small."""
    places = count // EACH
    taken: dict[int, str] = {}
    for name in sorted(names):
        if len(taken) == places:
            raise ValueError(f"the id pool has room for {places} containers")
        place = int.from_bytes(hashlib.sha256(f"{seed}\0{name}".encode()).digest()[:8]) % places
        while place in taken:
            place = (place + 1) % places
        taken[place] = name
    return {name: first + place * EACH for place, name in taken.items()}
