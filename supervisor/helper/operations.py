"""The operations that steps name, each a program of system calls. By name, as data: there is no other way to one.

Why each is safe stands beside it, in helper.world, root, hostview, devices, confine and service.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import groupby

from supervisor.helper import confine, devices, hostview, root, service, world
from supervisor.helper.steps import Step
from supervisor.helper.world import Site
from supervisor.kernel.image import Segment, pack
from supervisor.kernel.program import Call, Program

OPERATIONS: dict[str, Callable[..., Program]] = {
    # out of the world of the helper
    "take-places": world.take_places, "join": world.join, "unshare": world.unshare, "keyring": world.keyring,
    "private": world.private, "shift-time": world.shift_time, "own-ids": world.own_ids, "network": world.network,
    "hostname": world.hostname,
    # the root
    "masks": root.masks, "bind-root": root.bind_root, "tmpfs-root": root.tmpfs_root, "overlay-root": root.overlay_root,
    "own": hostview.own, "show": hostview.show, "copy": hostview.copy, "mount-kernel": root.mount_kernel,
    "mask": root.mask, "protect": root.protect, "dev": root.dev, "mount-dev": root.mount_dev,
    "node": devices.node, "show-node": devices.show_node, "device": devices.device, "link": devices.link,
    "tmpfs": root.tmpfs, "bind": root.bind, "show-at": root.show_at, "no-setuid": root.no_setuid, "seal": root.seal,
    "enter": root.enter,
    # what may not be kept
    "session": confine.session, "rlimit": confine.rlimit, "lower-rlimit": confine.lower_rlimit, "output": confine.output,
    "userns": confine.userns, "bounding": confine.bounding, "become": confine.become, "undumpable": confine.undumpable,
    "capabilities": confine.capabilities, "no-new-privileges": confine.no_new_privileges, "workdir": confine.workdir,
    "filter": confine.filter_calls,
    # the program, and PID 1 beside it
    "introduce": service.introduce, "lead": service.lead, "word": service.word, "give-word": service.give_word,
    "await-word": service.await_word, "let-go": service.let_go, "part": service.part, "exec": service.execute,
}  # fmt: skip

#: What a container alone has: its cgroups, its ids, its name, its program, whose environment has the name.
OWN = frozenset({"join", "own-ids", "hostname", "output", "exec"})
_SHARED = 512  # segments that are kept


def spell(step: Step, site: Site) -> Program:
    return OPERATIONS[step.op](site, *step.args)


def spelled(steps: tuple[Step, ...], site: Site) -> tuple[tuple[str, Call], ...]:
    """Every call, with the stage that it belongs to."""
    return tuple((step.stage, one) for step in steps for one in spell(step, site))


def segments(steps: tuple[Step, ...], site: Site) -> tuple[Segment, ...]:
    """As `spelled`, packed; what many containers have in common is one segment for all of them."""
    return tuple(
        _segment(tuple(group), site) if own else _shared(tuple(group), site.shared)
        for own, group in groupby(steps, lambda step: step.op in OWN)
    )


def _segment(steps: tuple[Step, ...], site: Site) -> Segment:
    return pack(tuple(one for _, one in spelled(steps, site)))


_shared = lru_cache(_SHARED)(_segment)
