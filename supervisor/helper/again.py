"""What the helper asks of the process that reads root's files again, as bytes: the one word beside
helper.protocol that both sides know. It comes from the helper, which is root, through a descriptor.
"""

import json
from typing import NamedTuple

from supervisor.helper.protocol import Declared, decode_declared


class Again(NamedTuple):
    """For the instance of `declared` (its containers and descriptors left out), with `held` the first id of
    each container that has ids of its own. Without `apply` nothing is made for it, no folder either.
    """

    declared: Declared
    held: dict[str, int]
    apply: bool
    rootless: bool


def encode_again(again: Again) -> bytes:
    return json.dumps(again).encode()


def decode_again(data: bytes) -> Again:
    declared, held, apply, rootless = json.loads(data)
    return Again(decode_declared(json.dumps(declared).encode()), held, apply, rootless)
