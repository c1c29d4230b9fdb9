"""The supervisor's own part of the cgroup tree: where it is put, and taking it down again.

    BASE/supervisor[-ID]/            the subtree, BASE the cgroup the helper was started in
    BASE/supervisor[-ID]/_supervisor helper and daemon (a cgroup that hands controllers down may
                                     hold no process itself: the no-internal-process rule)
    BASE/supervisor[-ID]/_holder-N   who holds the FIFOs (helper.holder); those of a helper which crashed stay
                                     until its successor has opened them, and has holders of its own
    BASE/supervisor[-ID]/NAME        one leaf a container

Where BASE holds other processes too (a login shell's session scope) it cannot hand controllers
down; root then takes the top of the hierarchy as BASE, others are told what to do.
"""

import errno
import os
import signal
from contextlib import suppress

from supervisor.errors import KernelError
from supervisor.helper.protocol import Launch
from supervisor.kernel import cgroup

_HOLDER = "_holder-"


class Subtree:
    """Made by `open_subtree`; `leaf` says where a container's cgroup is."""

    def __init__(self, layout: cgroup.Layout, base: str, name: str) -> None:
        self.layout = layout
        self.base = base
        self.name = name
        self.top = f"{base}/{name}"
        self.available: frozenset[str] = frozenset()

    def limits(self, launch: Launch) -> tuple[tuple[str, str, str], ...]:
        """(hierarchy, file, value) for each limit, translated for where it must be written."""
        found = []
        for key, value in launch.cgroup:
            hierarchy = cgroup.place(key, self.layout, self.available)
            for file, text in cgroup.translate(key, value) if hierarchy else ((key, value),):
                found.append((hierarchy, file, text))
        return tuple(found)

    def leaf(self, name: str, limits: tuple[tuple[str, str, str], ...]) -> cgroup.Leaf:
        """In every v1 hierarchy that a limit may ever be in: a limit that comes later finds it there."""
        used = {hierarchy for hierarchy, _, _ in limits if hierarchy} | ({"cpu"} & self.layout.v1.keys())
        return cgroup.Leaf(
            f"{self.top}/{name}", {one: f"{self.layout.v1[one]}/{self.name}/{name}" for one in sorted(used)}
        )

    def strangers(self, declared: frozenset[str]) -> list[str]:
        """Leaves of containers that are not declared any more: left by a supervisor that crashed."""
        return [name for name in self._folders() if name not in declared and not name.startswith("_")]

    def _folders(self) -> list[str]:
        return [one.name for one in os.scandir(self.top) if one.is_dir()]

    def _holders(self) -> dict[str, int]:
        """Path of its cgroup → number."""
        found = [name.partition(_HOLDER) for name in self._folders()]
        return {f"{self.top}/{_HOLDER}{last}": int(last) for _, middle, last in found if middle}

    def new_holders(self) -> tuple[str, str]:
        """Paths for the cgroups of two holders, which nobody has."""
        last = max(self._holders().values(), default=0)
        return f"{self.top}/{_HOLDER}{last + 1}", f"{self.top}/{_HOLDER}{last + 2}"

    def end_holders(self, but: tuple[str, ...]) -> None:
        """Those of helpers that crashed; `but` are those in use."""
        for folder in self._holders():
            if folder not in but:
                cgroup.end(folder)
                cgroup.remove(folder)

    def end(self, leaf: cgroup.Leaf) -> None:
        """Kill all that lives in a leaf, and remove it."""
        cgroup.end(leaf.unified)
        for folder in leaf.folders:
            cgroup.remove(folder)

    def end_stranger(self, name: str) -> None:
        leaf = self.leaf(name, (("cpu", "", ""), ("pids", "", "")) if self.layout.v1 else ())
        self.end(cgroup.Leaf(leaf.unified, {k: v for k, v in leaf.v1.items() if os.path.isdir(v)}))

    def close(self) -> None:
        """Back to where the helper came from, and nothing of the subtree is left."""
        for folder in (self.top, self.base):
            _take_back(folder)
        cgroup.write(self.layout.unified, "cgroup.procs", str(os.getpid()))
        cgroup.end(f"{self.top}/_supervisor")  # what a daemon may have left there
        self.end_holders(())
        for top in (self.top, *(f"{folder}/{self.name}" for folder in self.layout.v1.values())):
            cgroup.remove(top)


def open_subtree(name: str) -> Subtree:
    """Make the subtree `name` and move the helper into it; raises KernelError whose path is for an operator."""
    layout = cgroup.here()
    if not layout.unified:
        raise KernelError(
            "cgroup", errno.ENOTSUP, "no cgroup2 file system is mounted (mount -t cgroup2 none …)"
        )
    own = f"/{name}/_supervisor"
    if layout.unified.endswith(own):  # our predecessor was this process: helper.successor
        base = layout.unified.removesuffix(own)
        tree = Subtree(layout._replace(unified=base), base, name)
        _end_others(tree.top)
    else:
        tree = Subtree(layout, _base(layout), name)
        _enter(tree.top)
    cgroup.delegate(tree.base)
    cgroup.delegate(tree.top)
    tree.available = frozenset(cgroup.read(tree.top, "cgroup.subtree_control").split())
    for controller in {"cpu", "pids"} & layout.v1.keys():
        _make(f"{layout.v1[controller]}/{tree.name}")
    return tree


def _enter(top: str) -> None:
    _make(top)
    # A daemon whose helper crashed still captures there. It is written to be killed at any moment.
    cgroup.end(f"{top}/_supervisor")
    cgroup.remove(f"{top}/_supervisor")  # one that was killed is no place to fork from
    _make(f"{top}/_supervisor")
    cgroup.write(f"{top}/_supervisor", "cgroup.procs", str(os.getpid()))


def _end_others(top: str) -> None:
    """What this process's predecessor did not end; all of it is in our cgroup, and nothing else is."""
    for pid in cgroup.members(cgroup.Leaf(f"{top}/_supervisor", {})) - {os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _base(layout: cgroup.Layout) -> str:
    own = layout.unified
    if not os.path.exists(f"{own}/cgroup.type") or not cgroup.usable(own):
        return own  # the real root of the hierarchy, or nothing to hand down: the rule does not hold
    if set(cgroup.read(own, "cgroup.procs").split()) <= {str(os.getpid())}:
        return own
    if not os.path.exists(f"{layout.root}/cgroup.type") and os.access(layout.root, os.W_OK):
        return layout.root
    raise KernelError("cgroup", errno.EBUSY, f"{own} holds other processes too; {_cure()}")


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o755)
    except FileExistsError:
        return
    except PermissionError as error:
        raise KernelError("mkdir", error.errno or 0, f"{folder}; {_cure()}") from None
    except OSError as error:
        raise KernelError("mkdir", error.errno or 0, folder) from None


def _cure() -> str:
    """How to be given a cgroup of one's own (systemd-run(1))."""
    return "start it with: systemd-run --scope -p Delegate=yes supervisor start …  (--user without root)"


def _take_back(folder: str) -> None:
    """Undo `delegate`, so that the helper may return into `folder`; a root's may stay as they are."""
    if os.path.exists(f"{folder}/cgroup.type"):
        for controller in cgroup.read(folder, "cgroup.subtree_control").split():
            try:
                cgroup.write(folder, "cgroup.subtree_control", f"-{controller}")
            except KernelError:
                continue  # somebody else's child uses it: it was not ours to take back
