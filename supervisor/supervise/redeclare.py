"""What a reload does to one container: one more, one less, by other rules, anew. Each returns when it is done."""

from collections.abc import Sequence

from supervisor.core.events import RestartAsked, StartAsked, StopAsked
from supervisor.core.machine import LIVE, Machine
from supervisor.core.spec import Container
from supervisor.errors import RequestError
from supervisor.supervise.ask import Ask, answer, anything, decided, rests
from supervisor.supervise.fleet import Fleet
from supervisor.supervise.ports import Journal
from supervisor.supervise.timetable import under_way


async def add(fleet: Fleet, spec: Container) -> None:
    """Start one more container, which the fleet has made. What is remembered of an earlier one of its name goes on."""
    keeper = fleet.keepers[spec.name]
    # Live, says a supervisor that died; the helper knows of no such run. One with a schedule is not started so.
    if keeper.machine.state in LIVE or spec.schedule is not None:
        keeper.put(Ask(StartAsked("boot"), anything))
    fleet.keep(keeper)
    fleet.refuse_changes()
    if spec.schedule is None:
        await fleet.begin(keeper, StartAsked("configuration"))


async def remove(fleet: Fleet, name: str) -> None:
    """End a container for good; its records and what is remembered of its runs stay.

    Coming to rest removes its cgroup and files; of one that rested the helper has none.
    """
    keeper = fleet.keepers[name]
    async with fleet.down(keeper):
        await answer(keeper, Ask(StopAsked("configuration"), rests))
    fleet.drop(keeper)


def change(fleet: Fleet, spec: Container) -> None:
    """Go by this from now on. No step of the machine is under way: none waits for anything."""
    fleet.change(fleet.keepers[spec.name], spec)


def rests_as_it_should(machine: Machine) -> bool:
    """Somebody stopped it, or it has ended as it should: whoever declares it anew does not start it."""
    return machine.state in {"stopped", "exited"} or (machine.state, machine.wanted) == ("stopping", "stop")


async def renew(fleet: Fleet, name: str, run: int | None = None) -> None:
    """Restart a container as it is declared now, unless somebody stopped it or it has ended as it should.

    `run` is the one that is to be ended; a later one, and one that is waited for, is launched as declared now.
    """
    fleet.refuse_changes()
    keeper = fleet.keepers[name]
    machine = keeper.machine
    if rests_as_it_should(machine):
        return
    if machine.state == "waiting" or (run is not None and machine.run != run):
        await answer(keeper, Ask(None, decided))
        return
    if keeper.spec.schedule is not None and not under_way(machine):
        return  # its next time is soon enough
    await fleet.begin(keeper, RestartAsked("configuration"))


async def renew_each(fleet: Fleet, journal: Journal, names: Sequence[str]) -> None:
    """Finish a reload that another supervisor did not live to finish."""
    for name in names:
        journal.record("info", "container.reconfigured", name, how="restarted", keys=())
        try:
            await renew(fleet, name)
        except RequestError as error:
            journal.record("error", "supervisor.trouble", name, doing="restarting it", error=str(error))
