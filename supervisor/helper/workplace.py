"""What the steps of one launch share: descriptors and the account, filled in as they go."""

import os
import socket

from supervisor.helper.accounts import Account
from supervisor.kernel import mounts, process
from supervisor.kernel.cgroup import Leaf
from supervisor.kernel.program import Slot, slots

#: Where the descriptors of a launch are kept: the machine's /, as the supervisor sees it, and every path of the
#: host is below it; what masked paths show; the new root; its own /dev, /proc and /sys; the user namespace, and a network namespace
#: that is ready.
HOST, FOLDER, FILE, ROOT, DEV, PROC, SYS, USERNS, NETWORK = map(Slot, range(1, 10))
#: What becomes of the helper's descriptors: the container's output; the first and the last of each range that is closed.
OUT, ERR = map(Slot, range(10, 12))
GAPS = tuple((Slot(at), Slot(at + 1)) for at in range(12, 24, 2))
#: And for the time of one step: a place, a tree to attach there, anything else.
PLACE, TREE, OTHER = map(Slot, range(24, 27))
SLOTS = int(OTHER)


class Workplace:
    """`mountpoint` is an empty folder of the host, hidden by the new root; `ids` and `userns` are those
    of the container's user namespace (-1: the host's). Of the helper's descriptors it is given `output` as 1 and 2, and
    up to three that it is to `keep`.
    """

    def __init__(
        self,
        mountpoint: str,
        leaf: Leaf,
        *,
        ids: int = -1,
        userns: int = -1,
        network: int = -1,
        rootless: bool = False,
        output: tuple[int, int] = (-1, -1),
        keep: tuple[int, ...] = (),
    ) -> None:
        self.mountpoint = mountpoint
        self.leaf = leaf
        self.ids = ids
        self.rootless = rootless
        self.slots = slots(SLOTS)
        self.slots[USERNS], self.slots[NETWORK] = userns, network
        self.slots[OUT], self.slots[ERR] = output
        closed = process.gaps({*keep, userns, network})
        for at, (first, last) in enumerate(closed + [closed[-1]] * (len(GAPS) - len(closed))):
            self.slots[GAPS[at][0]], self.slots[GAPS[at][1]] = first, last
        self.service = 0  # its PID as PID 1 sees it, where that has spawned it
        self.init: socket.socket | None = None  # to PID 1, where that is another process
        self.account = Account(0, 0, (0,), "/")

    @property
    def userns(self) -> int:
        return self.slots[USERNS]

    @property
    def root(self) -> int:
        return self.slots[ROOT]

    @property
    def host(self) -> int:
        return self.slots[HOST]

    @property
    def dev(self) -> int:
        return self.slots[DEV]

    def on_host(self, path: str, flags: int = os.O_PATH) -> int:
        """Open a path that root declared; also from a chroot, whose / is not the mount namespace's."""
        return mounts.resolve(self.host, path, flags)

    def map_ids(self, mount: int, path: str) -> None:
        """Show a detached mount's files with their owners as the container counts ids."""
        if self.userns >= 0:
            mounts.map_ids(mount, self.userns, path)

    def owner(self, container_id: int) -> int:
        """The host's number for an id of the container."""
        return container_id if self.ids < 0 else self.ids + container_id
