"""The operations that steps name. By name, as data: there is no other way to one.

What each does, and why it is safe, stands beside it in helper.build, hostview, devices, confine and entry.
"""

from collections.abc import Callable
from typing import Any

from supervisor.helper import build, confine, devices, entry, hostview

OPERATIONS: dict[str, Callable[..., Any]] = {
    # out of the container's sight
    "join": confine.join, "unshare": confine.unshare, "keyring": confine.keyring, "private": build.private,
    "shift-time": build.shift_time, "own-ids": build.own_ids, "masks": build.masks,
    "overlay-root": build.overlay_root, "bind-root": build.bind_root, "tmpfs-root": build.tmpfs_root,
    "no-setuid": build.no_setuid, "own": hostview.own, "show": hostview.show, "copy": hostview.copy,
    "mount": build.mount, "bind": build.bind, "mask": build.mask, "protect": build.protect,
    "dev": devices.dev, "node": devices.node, "show-node": devices.show_node, "device": devices.device,
    "link": devices.link, "seal": build.seal, "hostname": build.hostname, "loopback": build.loopback, "join-network": build.join_network,
    "enter": build.enter,
    # in it
    "lookup": confine.lookup, "session": confine.session, "rlimit": confine.rlimit,
    "lower-rlimit": confine.lower_rlimit, "output": confine.output, "userns": confine.userns,
    "bounding": confine.bounding, "become": confine.become, "capabilities": confine.capabilities,
    "no-new-privileges": confine.no_new_privileges, "workdir": confine.workdir,
    "filter": confine.filter_calls, "await-init": confine.await_init, "exec": confine.execute, "spawn": confine.spawn,
    # into what lives already
    "setns": entry.setns, "pipes": entry.pipes, "own-session": entry.own_session, "streams": entry.streams,
    "terminal": entry.terminal,
}  # fmt: skip
