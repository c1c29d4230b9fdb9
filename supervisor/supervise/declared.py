"""What was declared of what runs: a run that was taken over may be of files that have changed since.

Laws:
- A run is as the present configuration says, but for those in `older`: a key that only a restart changes was another
  one when they began. The next run of each is as declared now.
- Both are kept for the supervisor that comes after, at every change of either.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec

from supervisor.core.plan import Plan, diff
from supervisor.core.spec import Configuration, Container

#: The file of it, in the folder of the ledger.
DECLARED = "declared"


class Older(NamedTuple):
    run: int
    container: Container


class Kept(msgspec.Struct, frozen=True):
    configuration: Configuration
    older: dict[str, Older]


class Declared:
    """`keep` stores bytes in place of those that it stored before."""

    def __init__(self, configuration: Configuration, keep: Callable[[bytes], None]) -> None:
        self._now = configuration
        self._older: dict[str, Older] = {}
        self._keep = keep

    def take_over(self, kept: bytes | None, runs: Mapping[str, int]) -> Plan:
        """What has changed of containers whose `runs` are taken over. `kept`: by the supervisor before; of what cannot be
        read nothing is known.
        """
        plan = Plan()
        if before := _read(kept):
            then = {one.name: one for one in before.configuration.containers}
            then |= {name: one.container for name, one in before.older.items() if one.run == runs.get(name)}
            known = [one for one in self._now.containers if one.name in runs and one.name in then]
            was = replace(before.configuration, containers=tuple(then[one.name] for one in known))
            plan = diff(was, replace(self._now, containers=tuple(known)))
            self._older = {one.name: Older(runs[one.name], then[one.name]) for one in plan.restarted}
        self._save()
        return plan

    def as_it_runs(self, run: Callable[[str], int]) -> Configuration:
        """`run` is the one of a container that lives, 0 if none does."""
        older = {name: one.container for name, one in self._older.items() if one.run == run(name)}
        return replace(self._now, containers=tuple(older.get(one.name, one) for one in self._now.containers))

    def declare(self, configuration: Configuration) -> None:
        """From now on, of all that runs."""
        self._now, self._older = configuration, {}
        self._save()

    def _save(self) -> None:
        self._keep(msgspec.json.encode(Kept(self._now, self._older)))


def _read(kept: bytes | None) -> Kept | None:
    try:
        return msgspec.json.decode(kept, type=Kept) if kept else None
    except (msgspec.MsgspecError, RecursionError):
        return None
