"""So many launches at once and no more, in the order of coming; one that hangs holds up no others for long."""

from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from supervisor.launcher.turnstile import PATIENCE, Turnstile


def run(main: Callable[[Turnstile, list[str], trio.Nursery], Awaitable[None]], places: int = 2) -> list[str]:
    """What `main` has let in."""
    inside: list[str] = []

    async def all_of_it() -> None:
        turnstile = Turnstile(places)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turnstile.mind)
            await main(turnstile, inside, nursery)
            nursery.cancel_scope.cancel()

    trio.run(all_of_it, clock=MockClock(autojump_threshold=0))
    return inside


async def come(turnstile: Turnstile, inside: list[str], nursery: trio.Nursery, *names: str) -> None:
    """Each in its own task, the one after the other."""

    async def one(name: str) -> None:
        await turnstile.enter(name)
        inside.append(name)

    for name in names:
        nursery.start_soon(one, name)
        await wait_all_tasks_blocked()


@pytest.mark.parametrize("left", ["a", "b"])
def test_who_comes_when_all_places_are_taken_waits_for_one_to_be_left(left: str) -> None:
    async def main(turnstile: Turnstile, inside: list[str], nursery: trio.Nursery) -> None:
        await come(turnstile, inside, nursery, "a", "b", "c", "d")
        assert sorted(inside) == ["a", "b"]
        turnstile.leave(left)
        await wait_all_tasks_blocked()

    assert run(main)[2:] == ["c"]


def test_one_that_is_not_inside_leaves_no_place() -> None:
    async def main(turnstile: Turnstile, inside: list[str], nursery: trio.Nursery) -> None:
        await come(turnstile, inside, nursery, "a", "b", "c")
        turnstile.leave("a stranger")
        await wait_all_tasks_blocked()

    assert sorted(run(main)) == ["a", "b"]


def test_launches_that_hang_give_their_places_up() -> None:
    async def main(turnstile: Turnstile, inside: list[str], nursery: trio.Nursery) -> None:
        await come(turnstile, inside, nursery, "a", "b", "c", "d", "e")
        await trio.sleep(5 * PATIENCE)

    assert sorted(run(main)) == ["a", "b", "c", "d", "e"]


def test_opened_it_holds_nobody_up() -> None:
    async def main(turnstile: Turnstile, inside: list[str], nursery: trio.Nursery) -> None:
        await come(turnstile, inside, nursery, "a", "b", "c", "d", "e")
        turnstile.open()
        await wait_all_tasks_blocked()
        await turnstile.enter("f")
        inside.append("f")

    assert sorted(run(main)) == ["a", "b", "c", "d", "e", "f"]


def test_nobody_gets_in_before_those_who_wait() -> None:
    async def main(turnstile: Turnstile, inside: list[str], nursery: trio.Nursery) -> None:
        assert turnstile.enter_now("a")
        assert turnstile.enter_now("b")
        assert not turnstile.enter_now("c")
        await come(turnstile, inside, nursery, "d", "e")
        turnstile.leave("a")
        assert not turnstile.enter_now("c")
        await wait_all_tasks_blocked()
        assert inside == ["d"]

    assert run(main) == ["d"]
