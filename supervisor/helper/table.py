"""What root has declared, as cells by name; and declared anew, all of it or nothing.

A cell whose container lives stays as it was launched: what is declared anew is taken up by its next run.
Only limits do not wait. A cell that is declared no more is retired: it can be ended and removed, and not
launched; with its removal it goes.
"""

import os

from supervisor.errors import KernelError
from supervisor.helper import policy
from supervisor.helper.ahead import Ahead
from supervisor.helper.cell import Cell
from supervisor.helper.declaration import Declaration
from supervisor.helper.holder import Holder
from supervisor.helper.launching import Known, Plan
from supervisor.helper.network import Spare
from supervisor.helper.place import Place
from supervisor.helper.protocol import Declared, Launch, Report, Request
from supervisor.helper.subtree import Subtree
from supervisor.helper.world import Site
from supervisor.helper.zygote import Zygote
from supervisor.kernel import caps, cgroup, descriptors, mounts, process

#: How one was launched that is not declared any more does not matter: it is only ended.
_FORGOTTEN = ((), (), "host", "overlay", "0:0", (), "/", "", True, (), (), (), True, (), ())


class Table:
    def __init__(self, declared: Declared, tree: Subtree, holder: Holder, *, rootless: bool) -> None:
        self.tree, known = tree, Known()
        self.place = Place(
            f"{declared.runtime_dir}/containers",
            f"{declared.runtime_dir}/root",
            declared.gid,
            rootless,
            Spare(possible=not rootless),
            Zygote(),
            known,
            Ahead(known),
            holder,
            # Without root a command enters by the service's pidfd, which so is kept.
            not rootless and descriptors.scarce(len(declared.containers), descriptors.limit()),
        )
        self.site = Site(
            self.place.mountpoint,
            capabilities=caps.permitted(),
            limits=process.hard_rlimits(),
            plain=mounts.root_can_be_left(),
            initramfs=mounts.on_initramfs(),
            rootless=rootless,
        )
        self.cells: dict[str, Cell] = {}
        self.declare(declared)

    def declare(self, declared: Declared) -> list[Report]:
        """From now on this is declared; the reports are of limits that had to change under live runs.

        What can go wrong goes wrong before anything is changed.
        """
        filters = tuple(tuple(map(bytes.fromhex, programs)) for programs in declared.filters)
        found = {one.name: self._declaration(one, filters) for one in declared.containers}
        reports = []
        for name, declaration in found.items():
            cell = self.cells.get(name)
            if cell is None:
                self.cells[name] = Cell(declaration, self.place)
            elif report := cell.redeclare(declaration):
                reports.append(report)
        for name, cell in list(self.cells.items()):
            cell.retired = name not in found
            cell.orphaned = cell.orphaned and cell.retired
            if cell.retired and cell.removed:
                del self.cells[name]
        return reports

    def _declaration(self, launch: Launch, filters: tuple[tuple[bytes, ...], ...]) -> Declaration:
        """Work out where the limits go; one that cannot be held refuses the launch, not the supervisor."""
        limits: cgroup.Limits = ()
        unplaced = None
        try:
            limits = self.tree.limits(launch)
        except KernelError as error:
            unplaced = error
        leaf = self.tree.leaf(launch.name, limits)
        site = self.site._replace(folders=tuple(leaf.v1.values()), ids=launch.ids)
        own = filters[launch.filter] if launch.filter >= 0 else ()
        return Declaration(launch, Plan(launch, own, site), leaf, limits, unplaced)

    def denied(self, request: Request, why: str) -> list[Report]:
        """What is said of a request that is not acted on."""
        denied = Report(
            "denied", request.name, request.run, path=f"{request.do} {request.kind}".rstrip() + f": {why}"
        )
        if request.do != "launch" or request.name not in self.cells or not self.cells[request.name].retired:
            return [denied]
        # It was asked for before the reload was heard of, and whoever asked waits for what becomes of it.
        return [denied, Report("refused", request.name, request.run, stage="refused", path=why)]

    def ids(self) -> dict[str, int]:
        """The first id of each container that has ids of its own, retired ones included: nobody else's yet."""
        found: dict[str, int] = {}
        for name, cell in self.cells.items():
            for declaration in (cell.declaration, cell.next):
                if declaration and declaration.launch.ids >= 0:
                    found.setdefault(name, declaration.launch.ids)
        return found

    def known(self) -> list[tuple[Report, int]]:
        """What a daemon that has just come is to hear, each with PID 1's pidfd or -1: what lives and which of its limits
        are not in force, and how the last run of what does not ended. Of retired ones only that: it was never told of
        them, but what they said is to be read.
        """
        found = []
        for cell in self.cells.values():
            if cell.phase == policy.LIVE:
                if not cell.retired:
                    found.append((cell.alive(adopted=True), cell.init_pidfd))
                    if cell.unenforced:
                        found.append((cell.unenforced, -1))
            elif cell.last:
                found.append((cell.last, -1))
        return found

    def removed(self, cell: Cell) -> Report:
        """Take away cgroup and files, and the cell too when it is not declared any more."""
        report = cell.remove()
        if cell.retired:
            del self.cells[cell.launch.name]
        return report

    def orphan_retired(self) -> None:
        """Whoever was to end them in order has died, and its successor knows nothing of them."""
        for cell in self.cells.values():
            cell.orphaned = cell.retired
        self.end_orphaned()

    def end_orphaned(self) -> None:
        """By force; doing it again is fine. One that has ended is removed by the next daemon, which reads its output first."""
        for cell in [one for one in self.cells.values() if one.orphaned]:
            if cell.phase in (policy.LAUNCHING, policy.LIVE):
                cell.kill()
            elif cell.phase == policy.IDLE and (cell.last is None or cell.last.what != "ended"):
                self.removed(cell)

    def finished(self, cell: Cell) -> Report | None:
        """Nothing of the run is left: its report, but of one that nobody asks about and that has never run it is the end."""
        report = cell.finish()
        if not cell.orphaned or report.what == "ended":
            return report
        self.removed(cell)
        return None

    def forgotten(self) -> list[str]:
        """Those that have a folder, and are not declared."""
        found = [one.name for one in os.scandir(self.place.containers) if one.is_dir(follow_symlinks=False)]
        return [name for name in found if name not in self.cells]

    def take_in(self, name: str) -> Cell:
        """A cell for one that a supervisor which crashed has left, and that is not declared any more."""
        cell = Cell(self._declaration(Launch(name, *_FORGOTTEN), ()), self.place)
        cell.retired = cell.orphaned = True
        self.cells[name] = cell
        return cell
