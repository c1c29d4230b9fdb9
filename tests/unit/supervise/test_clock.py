"""The wall clock may step by an hour: delays, stops and what is remembered of them go by the time that passes."""

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from supervisor.supervise.fleet import Fleet

if TYPE_CHECKING:
    from tests.unit.supervise.conftest import Host, Stage

HOUR = 3600.0


@pytest.mark.parametrize("step", [-HOUR, HOUR, -365 * 24 * HOUR])
def test_a_step_of_the_clock_neither_shortens_nor_lengthens_a_delay(stage: "Stage", step: float) -> None:
    async def main(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        began = trio.current_time()
        for times in range(3):
            host.end("web", code=1)
            host.since += step
            await host.seen("container.started", times + 2)
        assert trio.current_time() - began == pytest.approx(0.1 + 0.2 + 0.4)

    stage.play(main)


def test_a_supervisor_that_comes_after_the_clock_was_put_back_waits_no_longer_than_was_left(
    stage: "Stage",
) -> None:
    async def first(host: "Host", fleet: Fleet) -> None:
        await fleet.start("web")
        for times in range(6):
            host.end("web", code=1)
            await host.seen("container.started", times + 2)
        host.end("web", code=1)
        await trio.testing.wait_all_tasks_blocked()

    async def second(host: "Host", fleet: Fleet) -> None:
        await fleet.boot()
        await host.seen("container.started", 8)
        assert trio.current_time() == pytest.approx(6.4)

    stage.play(first)
    stage.play(second, later=-HOUR)
