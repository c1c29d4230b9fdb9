"""Holds: real receivers, stopped, started anew and held still while records come, have each record in the end, once
by its identity, as it was printed.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

from supervisor.core.backoff import Backoff
from supervisor.core.sinks import Sink
from supervisor.ship.sinks import Sinks
from tests.support.provide import INSIDE_MACHINE, setup
from tests.support.receivers import RECEIVERS, ClickHouse, Journald, Otlp, Receiver, Rsyslog, SyslogNg
from tests.support.shipping import Logs, run, shipped, until

pytestmark = pytest.mark.kernel

PART = 100 if INSIDE_MACHINE else 400
HOSTILE = [
    '"]} \\ [x y="z"]',
    "ü 中 \U0001f600 \u2028",
    "<13>1 - - - - - - forged",
    "%s %n $(x) ${text} $$",
    "x" * 20_000,
]
BRISK: dict[str, Any] = {
    "records": 40, "linger": 0.01, "timeout": 10.0 if INSIDE_MACHINE else 1.0, "backoff": Backoff(0.02, 2, 0.2, 0), "events": (),
    "host": "here", "fields": (("host", "here"),),
}  # fmt: skip


def sink_of(receiver: Receiver) -> Sink:
    if isinstance(receiver, ClickHouse):
        return Sink(type="http", url=receiver.url, **BRISK)
    if isinstance(receiver, Otlp):
        return Sink(type="otlp", url=f"http://127.0.0.1:{receiver.port}/v1/logs", **BRISK)
    if isinstance(receiver, Journald):
        return Sink(type="journald", address=f"unix:{receiver.socket}", **BRISK)
    assert isinstance(receiver, Rsyslog | SyslogNg)
    if receiver.kind == "unix":
        return Sink(type="syslog", address=f"unix:{receiver.socket}", **BRISK)
    believed = (receiver.folder / "cert.pem").read_text() if receiver.kind == "tls" else ""
    return Sink(
        type="syslog", address=f"{receiver.kind}:localhost:{receiver.port}", ca_file=believed, **BRISK
    )


VM = {"journald"}  # where the machine has its own kernel and nothing else runs


@pytest.fixture(params=[pytest.param(one, marks=[pytest.mark.vm] if one in VM else []) for one in RECEIVERS])
def receiver(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    journald = request.param == "journald"
    if journald and not os.access(Journald.PROGRAM, os.X_OK):
        pytest.skip("needs systemd-journald: please install systemd")
    made = RECEIVERS[request.param](Path() if journald else setup("receivers"))
    try:
        yield made
    finally:
        made.clean()


def test_every_record_is_there_once_after_all_of_it(receiver: Receiver) -> None:
    with Logs(segment=32 << 10) as logs:
        printed: dict[str, str] = {}

        def write(count: int) -> None:
            for number in range(count):
                name, stream = "ab"[number % 2], ("stdout", "stderr")[number % 3 == 0]
                text = HOSTILE[number % len(HOSTILE)] if number % 7 == 0 else "calm"
                line = f"{len(printed)} {text if text != 'x' else text * receiver.longest}"
                logs.output(name, line, stream=stream)
                printed[f"{name}/1/{stream}/{logs.seqs[name, 1, stream]}"] = line

        async def main() -> None:
            await aside(receiver.start)
            async with logs.shipping(real=sink_of(receiver)) as sinks:
                write(PART)
                await until(lambda: shipped(sinks, "real") > PART // 8)
                await stopped(sinks)
                write(PART)
                await aside(receiver.start)
                await until(lambda: shipped(sinks, "real") > PART + PART // 4)
                await held(sinks)
                await until(lambda: shipped(sinks, "real") == len(printed))
            await aside(receiver.stop)

        async def stopped(sinks: Sinks) -> None:
            """In the middle of a batch; it may take some more while it ends."""
            async with trio.open_nursery() as nursery:
                nursery.start_soon(aside, receiver.stop)
                write(PART)
            while not failing(sinks):
                write(1)
                await trio.sleep(0.02)

        async def held(sinks: Sinks) -> None:
            receiver.hold()
            write(PART)
            await until(lambda: failing(sinks))
            receiver.release()

        run(main)
        if isinstance(receiver, ClickHouse):
            receiver.start()
        got = receiver.got()
        assert {one.id: one.text for one in got} == printed
        assert len({(one.id, one.text) for one in got}) == len(printed)


def failing(sinks: Sinks) -> bool:
    return any(one["state"] == "failing" for one in sinks.status())


async def aside(act: Any) -> None:
    await trio.to_thread.run_sync(functools.partial(act))
