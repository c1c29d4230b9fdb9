"""Where launches happen."""

from typing import NamedTuple

from supervisor.helper.ahead import Ahead
from supervisor.helper.holder import Holder
from supervisor.helper.launching import Known
from supervisor.helper.network import Spare
from supervisor.helper.zygote import Zygote


class Place(NamedTuple):
    """The folders and accounts that every container shares. `mountpoint` is an empty
    folder that each new root is mounted over, in its own mount namespace. `scarce` are file descriptors.
    """

    containers: str
    mountpoint: str
    gid: int
    rootless: bool
    spare: Spare
    zygote: Zygote
    known: Known
    ahead: Ahead
    holder: Holder
    scarce: bool
