"""Holds: killed at any system call, or at any instant for real, no line is lost, doubled or moved."""

from __future__ import annotations

import errno
import os
import random
import select
import signal
import time
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.logs import commit, fifo, intake, intent, numbers, owed, segment, segments, store, sync

if TYPE_CHECKING:
    from supervisor.logs.capture import Capture
    from tests.unit.logs.conftest import Rig

#: As `make long` has it.
ROUNDS = 500 if os.environ.get("FAULTS") == "every" else 30
MODULES: tuple[ModuleType, ...] = (
    commit, fifo, intake, intent, numbers, owed, segment, segments, store, sync,
)  # fmt: skip
CALLS = {
    "open",
    "close",
    "read",
    "write",
    "pread",
    "pwrite",
    "splice",
    "ftruncate",
    "rename",
    "fstat",
    "fchmod",
}
CHANGES = {"open", "write", "pwrite", "splice", "ftruncate", "rename", "fchmod"}


class Killed(BaseException):
    """SIGKILL: nobody catches it."""


class FailingOs:
    """`os`, whose call number `at` (of those that change something) fails once."""

    def __init__(self, at: int) -> None:
        self.left = at

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return (lambda *args, **kwargs: self._call(real, *args, **kwargs)) if name in CHANGES else real

    def _call(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left == -1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **kwargs)


class DyingOs:
    """`os`, until call number `at`: it happens not at all, half, or wholly, and nothing happens after."""

    def __init__(self, at: int, share: str) -> None:
        self.left = at
        self.share = share
        self.dead = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return (lambda *args, **kwargs: self._call(real, *args, **kwargs)) if name in CALLS else real

    def _call(self, real: Any, *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Killed
        if self.left:
            self.left -= 1
            return real(*args, **kwargs)
        self.dead = True
        if self.share == "half" and real is os.write:
            real(args[0], args[1][: len(args[1]) // 2])
        elif self.share == "half" and real is os.splice:
            real(args[0], args[1], max(1, args[2] // 2), **kwargs)
        elif self.share != "before":
            real(*args, **kwargs)
        raise Killed


def dies(rig: Rig, patched: pytest.MonkeyPatch, at: int, share: str) -> bool:
    """Drain container "a", dying at call `at`; False if it was done before."""
    dying = DyingOs(at, share)
    with patched.context() as patch:
        for module in MODULES:
            patch.setattr(module, "os", dying)
        try:
            rig.drain()
        except Killed:
            return True
        return False


def expected(count: int) -> dict[str, bytes]:
    return {
        stream: b"".join(b"%b line %d\n" % (stream.encode(), n) for n in range(count))
        for stream in ("stdout", "stderr")
    }


@pytest.mark.parametrize("share", ["before", "half", "after"])
def test_death_at_every_system_call_of_a_commit(
    make_rig: type[Rig], share: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, at, alive = expected(5), 0, True
    while alive:
        with make_rig(segment=900) as rig:  # each batch begins a segment
            for round_ in range(2):
                for stream, data in lines.items():
                    rig.feed(data, stream=stream)
                if round_ == 0:
                    rig.drain()
            alive = dies(rig, monkeypatch, at, share)
            for stream, data in lines.items():  # more has come before the successor looks
                rig.feed(data, stream=stream)
            rig.drain()
            for stream, data in lines.items():
                assert rig.printed(stream=stream) == data * 3, at
        at += 1
    assert at > 30


def test_any_system_call_may_fail_without_a_trace(
    make_rig: type[Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, at, failed = expected(5), 0, True
    while failed:
        with make_rig(segment=900) as rig, rig.capture() as capture:
            capture.attach("a", 1)

            async def drain(rig: Rig = rig, capture: Capture = capture) -> None:
                for stream, data in lines.items():
                    rig.feed(data, stream=stream)
                await capture.drain("a")

            trio.run(drain)
            failing = FailingOs(at)
            with monkeypatch.context() as patch:
                for module in MODULES:
                    patch.setattr(module, "os", failing)
                trio.run(drain, clock=trio.testing.MockClock(autojump_threshold=0))
            failed = failing.left < 0
            assert rig.journal.events() == ["logs.paused", "logs.resumed"] * failed
            for stream, data in lines.items():
                assert rig.printed(stream=stream) == data * 2, at
        at += 1
    assert at > 10


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["before", "half", "after"])), max_size=6),
    st.sampled_from([300, 900, 1 << 20]),
    st.integers(1, 40),
)
def test_death_again_and_again_also_while_recovering(
    make_rig: type[Rig], deaths: list[tuple[int, str]], segment: int, count: int
) -> None:
    lines = expected(count)
    with make_rig(segment=segment) as rig, pytest.MonkeyPatch.context() as patched:
        for stream, data in lines.items():
            rig.feed(data, stream=stream)
        for at, share in deaths:
            dies(rig, patched, at, share)
            for stream, data in lines.items():
                rig.feed(data, stream=stream)
        rig.drain()
        for stream, data in lines.items():
            assert rig.printed(stream=stream) == data * (len(deaths) + 1)


def test_a_stale_header_is_not_acted_upon(rig: Rig) -> None:
    with open(f"{rig.root}/run/{intent.FILE}", "wb") as file:
        file.write(b"junk" * 200)
    rig.feed(b"safe\n")
    rig.drain()
    assert rig.printed() == b"safe\n"


def test_a_fifo_made_anew_is_not_consumed_for_an_old_intent(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.feed(b"old\n")
    at = 0
    while True:  # die as soon as the records are written
        assert dies(rig, monkeypatch, at, "before")
        if rig.records():
            break
        at += 1
    path = f"{rig.root}/run/containers/a/stdout"
    os.rename(path, path + ".old")
    os.mkfifo(path)
    os.close(rig.ends["a", "stdout"])
    rig.ends["a", "stdout"] = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    rig.feed(b"new\n")
    rig.drain()
    assert rig.printed() == b"old\nnew\n"


def test_real_sigkills_under_load(make_rig: type[Rig]) -> None:
    chance = random.Random(7)
    written = {"stdout": 0, "stderr": 0}
    with make_rig(segment=200_000) as rig:

        async def main() -> None:
            with rig.capture() as capture:
                capture.attach("a", 1)
                await capture.run()

        for _ in range(ROUNDS):
            pid = rig.in_child(lambda: trio.run(main))
            until = {stream: chance.randrange(1, 3000) for stream in written}
            for stream, count in until.items():
                _print(rig, stream, written[stream], count)
                written[stream] += count
            instant = time.perf_counter() + chance.random() * 0.002  # else always just after a splice
            while time.perf_counter() < instant:
                pass
            os.kill(pid, signal.SIGKILL)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
        rig.drain()
        for stream, count in written.items():
            lines = rig.printed(stream=stream).split(b"\n")[:-1]
            assert lines == [_line(n, stream) for n in range(count)]


def _line(number: int, stream: str) -> bytes:
    return b"%d of %b " % (number, stream.encode()) + b"." * 80


def _print(rig: Rig, stream: str, start: int, count: int) -> None:
    """As a service would: waits while the pipe is full."""
    end = rig.ends[("a", stream)]
    poll = select.poll()
    poll.register(end, select.POLLOUT)
    data = b"".join(_line(number, stream) + b"\n" for number in range(start, start + count))
    while data:
        try:
            data = data[os.write(end, data[:9000]) :]
        except BlockingIOError:
            assert poll.poll(120_000)
