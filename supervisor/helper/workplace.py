"""What the steps of one launch share: descriptors and the account, filled in as they go."""

import os
import socket

from supervisor.helper.accounts import Account
from supervisor.kernel import mounts
from supervisor.kernel.cgroup import Leaf


class Workplace:
    """`mountpoint` is an empty folder of the host, hidden by the new root; `ids` and `userns` are those
    of the container's user namespace (-1: the host's).
    """

    def __init__(
        self, mountpoint: str, leaf: Leaf, *, ids: int = -1, userns: int = -1, rootless: bool = False
    ) -> None:
        self.mountpoint = mountpoint
        self.leaf = leaf
        self.ids = ids
        self.userns = userns
        self.rootless = rootless
        self.host = -1  # the machine's /, as the supervisor sees it: every path of the host is below it
        self.empty_folder = self.empty_file = -1  # what masked paths show
        self.root = -1
        self.dev = -1
        self.kernel: dict[str, int] = {}  # its own /proc and /sys
        self.service = 0  # its PID as PID 1 sees it, where that has spawned it
        self.init: socket.socket | None = None  # to PID 1, where that is another process
        self.account = Account(0, 0, (0,), "/")

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
