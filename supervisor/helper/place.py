"""Where launches happen."""

from typing import NamedTuple

from supervisor.helper.holder import Holder
from supervisor.helper.network import Spare


class Place(NamedTuple):
    """The folders and accounts that every container shares. `mountpoint` is an empty
    folder that each new root is mounted over, in its own mount namespace. `scarce` are file descriptors.
    """

    containers: str
    mountpoint: str
    gid: int
    rootless: bool
    spare: Spare
    shim: int
    holder: Holder
    scarce: bool
