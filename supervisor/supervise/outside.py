"""Everything outside that a container's task touches."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from supervisor.core.events import Effect, Event, Wait
from supervisor.core.machine import Machine
from supervisor.supervise.ledger import Ledger
from supervisor.supervise.ports import Journal, Kernel, Launcher, Log, NoProbes, Output, Probes


@dataclass(frozen=True, slots=True)
class Ports:
    launcher: Launcher
    output: Output
    kernel: Kernel
    journal: Journal
    log: Log
    ledger: Ledger
    clock: Callable[[], float]
    wall: Callable[[], float]
    uniform: Callable[[], float]
    probes: Probes = field(default_factory=NoProbes)


class Others(Protocol):
    """The other containers, as one of them must know of them."""

    def unmet(self, name: str) -> tuple[Wait, ...] | None:
        """What stands in its way now; None while that cannot be told yet."""

    def changed(self, name: str, before: Machine, event: Event, _effects: tuple[Effect, ...]) -> None:
        """It has taken a step."""

    def brake(self, _name: str) -> float:
        """Seconds by which a restart by policy, due now, has to be put off; 0: it may be done."""
