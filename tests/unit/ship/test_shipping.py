"""Holds: a real receiver gets every record, in order, whatever it does meanwhile; and nobody else waits for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import trio

from supervisor.core.sinks import Sink
from supervisor.ship import keep
from tests.support.shipping import run, shipped, until

if TYPE_CHECKING:
    from supervisor.ship.sinks import Sinks
    from tests.support.shipping import Logs, Receiver

LINES = [f"line {number}" for number in range(50)]


def test_records_arrive_as_they_stand_with_their_identity_and_the_host(
    logs: Logs, receiver: Receiver
) -> None:
    async def main() -> None:
        logs.output("a", "before")
        async with receiver.listening(), logs.shipping(web=receiver.sink()):
            await receiver.until(lambda: len(receiver.records()) == 1)
            logs.output("a", 'x"}\u2028\\', stream="stderr")
            await receiver.until(lambda: len(receiver.records()) == 2)

    run(main)
    first, second = receiver.records()
    assert list(first)[:3] == ["id", "host", "ts"]
    assert (first["id"], first["host"], first["line"], first["seq"]) == ("a/1/stdout/1", "here", "before", 1)
    assert (second["id"], second["line"]) == ("a/1/stderr/1", 'x"}\u2028\\')
    assert receiver.requests[0].target == b"/in?x=1"
    assert dict(receiver.requests[0].headers)[b"content-type"] == b"application/x-ndjson"


def test_a_receiver_that_is_down_gets_everything_once_it_is_there(logs: Logs, receiver: Receiver) -> None:
    async def main() -> None:
        async with receiver.listening():
            pass  # only to have a port
        async with logs.shipping(web=receiver.sink(events=())) as sinks:
            logs.lines("a", 50)
            told = await logs.told("ship.failed")
            assert (told["sink"], told["error"]) == ("web", "Connection refused")
            (status,) = sinks.status()
            assert (status["state"], status["shipped"]) == ("failing", 0)
            assert status["oldest"] is not None
            async with receiver.listening(receiver.port):
                await receiver.until(lambda: len(receiver.lines()) == 50)
                await logs.told("ship.recovered")

    run(main)
    assert receiver.lines() == LINES
    assert len(logs.events("ship.failed")) == len(logs.events("ship.recovered")) == 1


def test_what_was_not_taken_is_sent_again_and_what_was_taken_is_not(logs: Logs, receiver: Receiver) -> None:
    answers = [(503, b"busy"), (204, b""), (204, b""), (500, b""), (429, b"slowly")]
    receiver.answer = lambda _: answers.pop(0) if answers else (204, b"")

    async def main() -> None:
        logs.lines("a", 50)
        async with (
            receiver.listening(),
            logs.shipping(web=receiver.sink(records=7, events=())),
        ):
            await receiver.until(lambda: len(receiver.lines()) >= 50)

    run(main)
    assert receiver.lines() == LINES
    assert [one["error"] for one in logs.events("ship.failed")] == [
        "it answered 503: busy",
        "it answered 500",
    ]


def test_one_that_hangs_holds_back_neither_another_nor_the_writer(logs: Logs, receiver: Receiver) -> None:
    hanging = type(receiver)()
    hanging.answer = lambda _: None

    async def main() -> None:
        async with receiver.listening(), hanging.listening():
            both = {"good": receiver.sink(), "bad": hanging.sink(timeout=3600.0)}
            async with logs.shipping(**both) as sinks:
                logs.output("a", "one")
                await hanging.asked.wait()
                logs.output("a", "two")
                await receiver.until(lambda: receiver.lines() == ["one", "two"])
                await until(lambda: shipped(sinks, "good") == 2)
                assert shipped(sinks, "bad") == 0

    run(main)


def test_one_that_hangs_is_asked_again_after_the_timeout(logs: Logs, receiver: Receiver) -> None:
    answers: list[tuple[int, bytes] | None] = [None]
    receiver.answer = lambda _: answers.pop() if answers else (204, b"")

    async def main() -> None:
        logs.output("a", "one")
        async with receiver.listening(), logs.shipping(web=receiver.sink(timeout=0.2)):
            await receiver.until(lambda: receiver.lines() == ["one"])
            assert (await logs.told("ship.failed"))["error"] == "not taken within 0.2 s"

    run(main)


def test_a_restart_goes_on_where_it_was(logs: Logs, receiver: Receiver) -> None:
    async def main() -> None:
        async with receiver.listening():
            for half in ("one", "two"):
                logs.output("a", half)
                async with logs.shipping(web=receiver.sink(events=())) as sinks:
                    await receiver.until(lambda half=half: half in receiver.lines())  # type: ignore[misc]
                    await until(lambda sinks=sinks, half=half: shipped(sinks) == 1 + (half == "two"))  # type: ignore[misc]

    run(main)
    assert receiver.lines() == ["one", "two"]
    saved = keep.load(logs.log_dir, "web")
    assert saved is not None
    assert (saved.shipped, saved.dropped) == (2, 0)


def test_a_damaged_cursor_is_told_and_everything_is_sent_again(logs: Logs, receiver: Receiver) -> None:
    with open(f"{logs.root}/supervisor/web.cursor", "w") as file:
        file.write('{"shipped": "many"}')

    async def main() -> None:
        logs.output("a", "one")
        async with receiver.listening(), logs.shipping(web=receiver.sink(events=())):
            await receiver.until(lambda: receiver.lines() == ["one"])
            await logs.told("ship.cursor_lost")

    run(main)


def test_a_new_sink_may_begin_at_the_end(logs: Logs, receiver: Receiver) -> None:
    async def main() -> None:
        logs.output("a", "old")
        logs.names = ["a"]
        async with receiver.listening(), logs.shipping(web=receiver.sink(start="end")):
            await until(lambda: keep.load(logs.log_dir, "web") is not None)
            logs.output("a", "new")
            logs.output("b", "a container of later is read from its beginning")
            logs.names = ["a", "b"]
            await receiver.until(lambda: len(receiver.lines()) == 2)

    run(main)
    assert sorted(receiver.lines()) == ["a container of later is read from its beginning", "new"]


def test_what_retention_removed_unshipped_is_counted_and_recorded(
    receiver: Receiver, make_logs: type[Logs]
) -> None:
    with make_logs(segment=2000) as logs:

        async def main() -> None:
            async with receiver.listening():
                sink = receiver.sink(events=())
                logs.lines("a", 3)
                async with logs.shipping(web=sink) as sinks:
                    await until(lambda: shipped(sinks) == 3)
                logs.lines("a", 60)
                first, *others, _last = logs.closed("a")
                assert others
                for stem in (first, *others):
                    logs.drop("a", stem)
                async with logs.shipping(web=sink) as again:
                    told = await logs.told("ship.dropped")
                    await receiver.until(lambda: receiver.lines()[-1:] == ["line 59"])
                    assert told["lines"] == again.status()[0]["dropped"] > 0
                    assert (told["sink"], told["container"], told["at_least"]) == ("web", "a", False)
                    assert told["lines"] + len(receiver.lines()) == 63

        run(main)


def test_filters_choose_by_container_stream_level_and_event(logs: Logs, receiver: Receiver) -> None:
    wanted = {"containers": ("a*",), "streams": ("stderr",), "level": "warning", "events": ("container.*",)}

    async def main() -> None:
        logs.output("a", "stdout", level="error")
        logs.output("a", "calm", stream="stderr")
        logs.output("a", "taken", stream="stderr", level="error")
        logs.output("b", "another", stream="stderr", level="error")
        logs.record("warning", "container.exited", "a", 1)
        logs.record("warning", "container.exited", "b", 1)
        logs.record("warning", "memory.oom_kill", "a", 1)
        logs.record("info", "container.started", "a", 1)
        async with receiver.listening(), logs.shipping(web=receiver.sink(**wanted)):
            await receiver.until(lambda: len(receiver.records()) >= 2)

    run(main)
    found = {(one["event"], one.get("line"), one["container"]) for one in receiver.records()}
    assert found == {("output", "taken", "a"), ("container.exited", None, "a")}


def test_the_supervisors_own_records_are_named_by_where_they_stand(logs: Logs, receiver: Receiver) -> None:
    async def main() -> None:
        for number in range(3):
            logs.record("info", "supervisor.started", n=number)
        async with receiver.listening(), logs.shipping(web=receiver.sink()):
            await receiver.until(lambda: len(receiver.records()) == 3)

    run(main)
    first, second, third = (one["id"] for one in receiver.records())
    place = first.rpartition("/")[0]
    assert place.startswith("supervisor/1970-01-12T13-46-40.")
    assert first.endswith("/0")
    assert len({first, second, third}) == 3
    assert second.startswith(f"{place}/")


def test_a_sink_does_not_ship_what_is_recorded_about_itself_and_another_does(
    logs: Logs, receiver: Receiver
) -> None:
    other = type(receiver)()
    answers = [(503, b"busy")]
    receiver.answer = lambda _: answers.pop() if answers else (204, b"")

    async def main() -> None:
        async with receiver.listening(), other.listening():
            two = {"web": receiver.sink(), "other": other.sink()}
            async with logs.shipping(**two):
                logs.output("a", "one")
                await other.until(lambda: len(other.records()) == 3)
                logs.record("info", "supervisor.note")
                await receiver.until(lambda: len(receiver.records()) == 2)

    run(main)
    assert [one["event"] for one in receiver.records()] == ["output", "supervisor.note"]
    assert [one["event"] for one in other.records()][:3] == ["output", "ship.failed", "ship.recovered"]


def test_sinks_whose_receivers_fail_every_other_time_do_not_keep_each_other_busy(
    logs: Logs, receiver: Receiver
) -> None:
    asked = 0

    def answer(_: bytes) -> tuple[int, bytes]:
        nonlocal asked
        asked += 1
        return (503, b"busy") if asked % 2 else (204, b"")

    receiver.answer = answer

    async def main() -> None:
        async with receiver.listening():
            sinks = {name: receiver.sink() for name in ("one", "two", "three")}
            async with logs.shipping(**sinks) as shipping:
                logs.output("a", "line")
                await until(lambda: _rest(shipping, receiver, logs, sinks))

    run(main)
    assert len(logs.events("ship.failed")) == len(logs.events("ship.recovered")) <= 3


def _rest(shipping: Sinks, receiver: Receiver, logs: Logs, sinks: dict[str, Sink]) -> bool:
    """Whether every sink has shipped the line and all that is recorded about the others."""
    told = [*logs.events("ship.failed"), *logs.events("ship.recovered")]
    due = {name: 1 + sum(one["sink"] != name for one in told) for name in sinks}
    return all(shipped(shipping, name) == due[name] for name in sinks)


def test_what_becomes_of_records_of_shipping_alone_is_not_recorded_but_told(
    logs: Logs, receiver: Receiver
) -> None:
    receiver.answer = lambda body: (204, b"") if b"line" in body else (503, b"busy")

    async def main() -> None:
        async with receiver.listening(), logs.shipping(web=receiver.sink()) as sinks:
            logs.record("warning", "ship.failed", sink="other", error="no")
            await until(lambda: [one["state"] for one in sinks.status()] == ["failing"])
            logs.output("a", "one")
            await until(lambda: shipped(sinks) == 2)
            assert sinks.status()[0]["error"] is None

    run(main)
    assert [one["sink"] for one in logs.events("ship.failed")] == ["other"]
    assert not logs.events("ship.recovered")


def test_a_receiver_that_refuses_records_of_shipping_is_told_of_once_for_each_line_it_refuses(
    logs: Logs, receiver: Receiver
) -> None:
    receiver.answer = lambda body: (400, b"no") if b"ship." in body or b"poison" in body else (204, b"")

    async def main() -> None:
        async with receiver.listening(), logs.shipping(web=receiver.sink(), other=receiver.sink()) as sinks:
            logs.output("a", "poison")
            logs.output("b", "fine")
            await until(lambda: sum(one["dropped"] > 0 for one in sinks.status()) == 2)
            logs.output("b", "fine too")
            await until(lambda: receiver.lines().count("fine too") == 2)

    run(main)
    assert len(logs.events("ship.refused")) <= 4


def test_a_sink_that_is_configured_anew_goes_on_from_its_cursor(logs: Logs, receiver: Receiver) -> None:
    other = type(receiver)()

    async def main() -> None:
        async with receiver.listening(), other.listening():
            sink = receiver.sink(events=())
            async with logs.shipping(web=sink) as sinks:
                logs.output("a", "one")
                await receiver.until(lambda: receiver.lines() == ["one"])
                await until(lambda: shipped(sinks) == 1)
                sinks.configure({"web": replace(sink, url=f"http://localhost:{other.port}/")})
                logs.output("a", "two")
                await other.until(lambda: other.lines() == ["two"])
                sinks.configure({})
                await until(lambda: not sinks.status())

    run(main)
    assert receiver.lines() == ["one"]


def test_a_segment_that_is_damaged_is_told_once_and_holds_up_no_other_folder(
    logs: Logs, receiver: Receiver
) -> None:
    with open(f"{logs.root}/a/2000-01-01T00-00-00.000000Z.jsonl.zst", "wb") as file:
        file.write(b"no zstd")

    async def main() -> None:
        async with receiver.listening(), logs.shipping(web=receiver.sink(events=())):
            logs.output("b", "one")
            await receiver.until(lambda: receiver.lines() == ["one"])
            told = await logs.told("ship.unreadable")
            assert (told["container"], told["sink"]) == ("a", "web")
            logs.output("a", "behind it")
            logs.output("b", "two")
            await receiver.until(lambda: receiver.lines() == ["one", "two"])

    run(main)
    assert len(logs.events("ship.unreadable")) == 1


def test_an_error_of_ours_is_reported_and_ends_no_other_sink(logs: Logs, receiver: Receiver) -> None:
    bugs: list[BaseException] = []

    async def main() -> None:
        from supervisor.ship import carriers
        from supervisor.ship.carrier import Carrier
        from supervisor.ship.sinks import Sinks

        def make(sink: Sink) -> Carrier:
            if sink.start == "end":
                raise ZeroDivisionError
            return carriers.make(sink)

        async with receiver.listening(), trio.open_nursery() as nursery:
            two = {"bad": receiver.sink(start="end"), "good": receiver.sink()}
            sinks = Sinks(two, logs.folders(), logs.record, bugs.append, make)
            nursery.start_soon(sinks.run)
            logs.output("a", "one")
            await receiver.until(lambda: receiver.lines() == ["one"])
            nursery.cancel_scope.cancel()

    run(main)
    assert [type(bug) for bug in bugs] == [ZeroDivisionError]
