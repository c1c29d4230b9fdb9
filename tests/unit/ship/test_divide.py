"""Holds: what a receiver refuses is told from what it takes, and one that refuses everything loses nobody anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from supervisor.ship import divide
from supervisor.ship.carrier import ContentError, Refused
from supervisor.ship.record import Head, Record
from tests.support.shipping import run, shipped, until

if TYPE_CHECKING:
    from tests.support.shipping import Logs, Receiver


def records(count: int) -> list[Record]:
    return [Record(b"", Head("", "", ""), str(number)) for number in range(count)]


def carried(count: int, poison: set[int]) -> tuple[list[str], Refused | None]:
    taken: list[str] = []

    async def send(part: list[Record]) -> None:
        if poison & {int(one.id) for one in part}:
            raise ContentError("no")
        taken.extend(one.id for one in part)

    async def main() -> Refused | None:
        return await divide.carry(records(count), send)

    return taken, trio.run(main)


@given(st.integers(1, 200), st.sets(st.integers(0, 199), max_size=divide.ENOUGH - 1))
def test_the_others_are_all_taken_in_order(count: int, poison: set[int]) -> None:
    bad = {number for number in poison if number < count}
    if len(bad) == count:
        with pytest.raises(ContentError):
            carried(count, bad)
        return
    taken, refused = carried(count, bad)
    assert taken == [str(number) for number in range(count) if number not in bad]
    assert refused == (Refused(len(bad), "no") if bad else None)


def test_one_that_takes_nothing_is_not_asked_about_every_record() -> None:
    with pytest.raises(ContentError):
        carried(5000, set(range(5000)))


def test_a_record_that_a_receiver_cannot_stand_stops_nobody(logs: Logs, receiver: Receiver) -> None:
    receiver.answer = lambda body: (400, b"no") if b"poison" in body else (204, b"")

    async def main() -> None:
        async with receiver.listening(), logs.shipping(web=receiver.sink(events=())) as sinks:
            logs.output("a", "poison")
            assert (await logs.told("ship.failed"))["error"] == "it answered 400: no"
            assert shipped(sinks) == 0
            logs.output("b", "fine")
            await until(lambda: shipped(sinks) == 1)
            told = await logs.told("ship.refused")
            assert (told["records"], told["why"]) == (1, "it answered 400: no")
            await until(lambda: sinks.status()[0]["dropped"] == 1)

    run(main)
    assert receiver.lines() == ["fine"]


def test_a_batch_that_is_too_large_comes_in_parts(logs: Logs, receiver: Receiver) -> None:
    receiver.answer = lambda body: (413, b"") if len(body) > 2000 else (204, b"")

    async def main() -> None:
        logs.lines("a", 100)
        async with receiver.listening(), logs.shipping(web=receiver.sink(events=())):
            await receiver.until(lambda: len(receiver.lines()) == 100)

    run(main)
    assert receiver.lines() == [f"line {number}" for number in range(100)]
    assert not logs.events("ship.failed")


def test_elasticsearch_tells_of_each_record_what_became_of_it(logs: Logs, receiver: Receiver) -> None:
    asked: list[list[str]] = []

    def answer(body: bytes) -> tuple[int, bytes]:
        lines = [json.loads(line) for line in body.splitlines()]
        asked.append([one["create"]["_id"] for one in lines[::2]])
        assert all(one["@timestamp"] == one["ts"] for one in lines[1::2])
        status = {"taken": 201, "again": 409, "bad": 400, "busy": 429 if len(asked) == 1 else 201}
        items = [{"create": {"status": status[one["line"]], "error": {"type": "x"}}} for one in lines[1::2]]
        return 200, json.dumps({"errors": True, "items": items}).encode()

    receiver.answer = answer

    async def main() -> None:
        for line in ("taken", "again", "bad", "busy"):
            logs.output("a", line)
        async with receiver.listening():
            sink = receiver.sink(events=(), format="elasticsearch")
            async with logs.shipping(es=sink) as sinks:
                await until(lambda: shipped(sinks, "es") == 3)
                assert sinks.status()[0]["dropped"] == 1

    run(main)
    assert asked == [[f"here/a/1/stdout/{number}" for number in (1, 2, 3, 4)]] * 2
    assert logs.events("ship.failed")[0]["error"].startswith("it refused 2 records, one with 400")
