"""Holds: what containers print is on record, in order and fairly, however they print it."""

from __future__ import annotations

import fcntl
import os
import signal
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.core import spec
from supervisor.supervise import ports

if TYPE_CHECKING:
    from supervisor.logs.archive import Archive
    from supervisor.logs.capture import Capture
    from tests.unit.logs.conftest import Rig


def test_a_line_is_on_record_as_soon_as_it_is_printed(rig: Rig) -> None:
    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        for n in range(3):
            rig.feed(b"%d\n" % n)
            await rig.until(archive, lambda n=n: len(rig.records()) == n + 1)  # type: ignore[misc]

    rig.live(work)
    assert rig.printed() == b"0\n1\n2\n"


def test_it_is_what_supervision_asks_for(rig: Rig) -> None:
    with rig.capture() as capture:
        output: ports.Output = capture
        assert output.waiting("a") == 0


def test_what_was_printed_before_anyone_listened_is_read(rig: Rig) -> None:
    rig.feed(b"early\n", stream="stderr")

    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        await rig.until(archive, lambda: bool(rig.records()))

    rig.live(work)
    assert rig.printed(stream="stderr") == b"early\n"


def test_drain_takes_the_unfinished_last_line(rig: Rig) -> None:
    rig.feed(b"one\ntwo")
    rig.drain()
    assert rig.printed() == b"one\ntwo\n"


def test_numbers_go_on_after_a_restart_and_begin_anew_with_a_run(rig: Rig) -> None:
    for run, data in ((1, b"a\n"), (1, b"b\n"), (2, b"c\n"), (2, b"d\n")):
        rig.feed(data)
        rig.drain(run=run)
    assert [(each["run"], each["seq"]) for each in rig.records()] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_numbers_are_found_in_closed_segments(rig: Rig) -> None:
    rig.feed(b"first\n", stream="stderr")
    rig.drain()
    rig.segment = 300
    for _ in range(6):
        rig.feed(b"other\n")
        rig.drain()
    rig.feed(b"second\n", stream="stderr")
    rig.drain()
    assert rig.printed(stream="stderr") == b"first\nsecond\n"


def test_data_cannot_forge_a_number(rig: Rig) -> None:
    rig.output = spec.Output(format="json")
    forged = b'","level":"info","event":"output","container":"a","run":1,"stream":"stdout","seq":99'
    for data in (b"one\n", b'{"x":{"run":1,"stream":"stdout","seq":99}}\n', forged + b"\n"):
        rig.feed(data)
        rig.drain()
    assert [each["seq"] for each in rig.records()] == [1, 2, 3]


def test_a_line_as_long_as_max_line_is_not_split_by_the_pipe(rig: Rig) -> None:
    line = b"x" * (64 << 10)

    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        data = line + b"\n"
        while data:  # in awkward pieces, as the pipe has room
            try:
                data = data[os.write(rig.ends["a", "stdout"], data[:3000]) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(rig.ends["a", "stdout"])
        await rig.until(archive, lambda: bool(rig.records()))

    rig.live(work)
    (record,) = rig.records()
    assert (record["line"], "partial" in record) == (line.decode(), False)


def test_a_write_larger_than_the_pipe_gets_through_behind_an_unfinished_line(rig: Rig) -> None:
    data = b"".join(b"%06d of a line that no page ends with\n" % n for n in range(6_000))

    def print_all() -> None:
        end = os.open(f"{rig.root}/run/containers/a/stdout", os.O_WRONLY)
        written = 0
        while written < len(data):
            written += os.write(end, data[written : written + 200_000])

    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        rig.feed(b"before")
        await trio.testing.wait_all_tasks_blocked()
        children.append(rig.in_child(print_all))
        await rig.until(archive, lambda: bool(rig.records()) and rig.records()[-1]["line"][:6] == "005999")

    children: list[int] = []
    rig.live(work)
    assert os.waitpid(children[0], 0)[1] == 0
    assert rig.printed() == b"before" + data


def test_output_that_is_told_of_at_the_very_end_ends_nothing(rig: Rig) -> None:
    async def work(capture: Capture, _archive: Archive) -> None:
        capture.attach("a", 1)
        rig.feed(b"no end of a line")
        await trio.testing.wait_all_tasks_blocked()
        rig.feed(b", nor now")  # and nobody has a turn any more

    rig.live(work)
    assert signal.getsignal(signal.SIGIO) == signal.SIG_DFL


def test_a_line_without_end_does_not_stop_the_service(rig: Rig) -> None:
    rig.output = spec.Output(max_line=1 << 30)
    total = 3 << 20

    async def work(capture: Capture, archive: Archive) -> None:
        capture.attach("a", 1)
        left = total
        while left:
            try:
                left -= os.write(rig.ends["a", "stdout"], b"y" * min(left, 8192))
            except BlockingIOError:
                await trio.lowlevel.wait_writable(rig.ends["a", "stdout"])
        await capture.drain("a")

    rig.live(work)
    assert rig.printed() == b"y" * total + b"\n"


def test_a_service_that_writes_packets_is_read_like_any_other(rig: Rig) -> None:
    fcntl.fcntl(rig.ends["a", "stdout"], fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT)
    for n in range(16):
        rig.feed(b"%d," % n)
    with pytest.raises(BlockingIOError):
        rig.feed(b"one too many")  # full, with 38 bytes in it
    rig.drain()
    assert rig.printed() == b"0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,\n"


def test_a_noisy_container_does_not_starve_a_quiet_one(rig: Rig) -> None:
    async def work(capture: Capture, archive: Archive) -> None:
        async def shout() -> None:
            while True:
                try:
                    os.write(rig.ends["a", "stdout"], b"noise\n" * 600)
                    await trio.lowlevel.checkpoint()
                except BlockingIOError:
                    await trio.lowlevel.wait_writable(rig.ends["a", "stdout"])

        capture.attach("a", 1)
        capture.attach("b", 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shout)
            for n in range(20):
                rig.feed(b"quiet\n", name="b")
                await rig.until(archive, lambda n=n: len(rig.records("b")) == n + 1)  # type: ignore[misc]
            nursery.cancel_scope.cancel()

    rig.live(work)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(st.binary(min_size=1, max_size=400), st.just(b"\n")), max_size=20),
    st.integers(1, 300),
    st.sampled_from([200, 1000, 1 << 20]),
)
def test_the_same_bytes_come_out(
    make_rig: type[Rig], chunks: list[bytes], max_line: int, segment: int
) -> None:
    async def main() -> None:
        with trio.fail_after(300), rig.capture() as capture:
            capture.attach("a", 1)
            for chunk in chunks:
                rig.feed(chunk)
                while capture._try(capture._fifos["a"][0]):
                    pass
            await capture.drain("a")

    with make_rig(segment=segment) as rig:
        rig.output = spec.Output(max_line=max_line)
        trio.run(main)
        data = b"".join(chunks)
        assert rig.printed() == data + (b"" if data.endswith(b"\n") or not data else b"\n")


def test_attach_without_fifos_is_an_error_and_leaks_nothing(rig: Rig) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with rig.capture() as capture:
        os.unlink(f"{rig.root}/run/containers/a/stderr")
        with pytest.raises(FileNotFoundError):
            capture.attach("a", 1)
        with pytest.raises(FileNotFoundError):
            capture.attach("nobody", 1)
    assert len(os.listdir("/proc/self/fd")) == before


def test_detach_forgets_and_a_new_run_attaches(rig: Rig) -> None:
    async def work(capture: Capture, archive: Archive) -> None:
        for run in (1, 2):
            capture.attach("a", run)
            rig.feed(b"x\n")
            await capture.drain("a")
            capture.detach("a")
        assert capture.waiting("a") == 0

    rig.live(work)
    assert [each["run"] for each in rig.records()] == [1, 2]
