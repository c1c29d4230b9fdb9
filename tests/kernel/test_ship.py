"""Holds: a real supervisor, its privileges dropped, ships what its containers print; a reload takes up and ends sinks."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.running import Supervise, shell, table, until

pytestmark = pytest.mark.kernel


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps the records that it is sent, and the headers they came with."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keeping)
        self.records: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/in"  # a name: it is looked up after the drop


class _Keeping(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers = dict(self.headers)
        self.server.records += [json.loads(line) for line in body.splitlines()]
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def test_lines_and_events_arrive_and_a_reload_ends_it(
    supervise: Supervise, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    sink = {"type": "http", "url": receiver.url, "token_file": f"{tmp_path}/token", "linger": "10ms"}
    running = supervise.prepare(
        {"web": shell("echo one; echo two >&2; exec sleep 1000")}, settings={"ship": {"here": sink}}
    )
    running.start()

    def shipped(key: str, value: str) -> bool:
        return any(one.get(key) == value for one in receiver.records)

    until(lambda: shipped("line", "one") and shipped("line", "two"), "lines")
    until(lambda: shipped("event", "container.started"), "events")
    assert receiver.headers["Authorization"] == "Bearer s3cret"
    found = running.done("ship")
    assert "here" in found
    assert json.loads(running.done("ship", "--json"))[0]["state"] in {"idle", "shipping"}
    everything = running.done("inspect", "web", "--json") + running.done("ship", "--json")
    assert "s3cret" not in everything

    file = running.configs / "all.toml"
    kept = file.read_text()
    with contextlib.suppress(ValueError):
        settings = {"runtime_dir": running.runtime_dir, "logs": {"dir": running.log_dir}}
        rest = kept[kept.index("[defaults]") :]
        file.write_text(table("supervisor", settings) + rest)
    assert "supervisor.ship.here" in running.done("plan")
    running.done("reload")
    assert json.loads(running.done("ship", "--json")) == []
