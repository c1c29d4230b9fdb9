"""Holds: a real supervisor, its privileges dropped, ships what its containers print; a reload takes up and ends sinks."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.provide import setup
from tests.support.receivers import certificate, free_port
from tests.support.running import Supervise, shell, table, until

pytestmark = pytest.mark.kernel


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps the records that it is sent, and the headers they came with."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Keeping)
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


@contextlib.contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    with Receiver(port) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


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
    settings = {"runtime_dir": running.runtime_dir, "logs": {"dir": running.log_dir}}
    file.write_text(table("supervisor", settings) + kept[kept.index("[defaults]") :])
    assert "supervisor.ship.here" in running.done("plan")
    running.done("reload")
    assert json.loads(running.done("ship", "--json")) == []


def test_a_sink_that_hangs_and_one_that_refuses_hold_back_neither_another_nor_a_flood(
    supervise: Supervise, receiver: Receiver
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # never accepts
        good = {"type": "http", "url": receiver.url, "linger": "10ms", "events": []}
        sinks = {
            "good": good,
            "hangs": {**good, "url": f"http://127.0.0.1:{hanging.getsockname()[1]}/", "timeout": "1h"},
            "refuses": {"type": "syslog", "address": f"tcp:127.0.0.1:{free_port()}"},
        }
        count = 50_000
        running = supervise({"web": shell(f"seq {count}")}, settings={"ship": sinks})
        running.event("ship.failed", sink="refuses", error="Connection refused")
        until(lambda: len({one["seq"] for one in receiver.records}) == count, "all lines")
        assert [int(line) for line in running.lines("web")] == list(range(1, count + 1))
        now = {one["name"]: one for one in json.loads(running.done("ship", "--json"))}
        assert (now["hangs"]["shipped"], now["refuses"]["shipped"]) == (0, 0)
        assert (now["hangs"]["state"], now["refuses"]["state"]) == ("shipping", "failing")


def test_certificates_are_roots_to_read_and_serve_after_the_drop(
    supervise: Supervise, receiver: Receiver, tmp_path: Path
) -> None:
    setup("receivers")  # brings openssl
    certificate(tmp_path)
    (tmp_path / "key.pem").chmod(0o600)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    context.load_verify_locations(tmp_path / "cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    receiver.socket = context.wrap_socket(receiver.socket, server_side=True)
    own = {
        "ca_file": tmp_path / "cert.pem",
        "cert_file": tmp_path / "cert.pem",
        "key_file": tmp_path / "key.pem",
    }
    sink = {"type": "http", "url": receiver.url.replace("http:", "https:"), "linger": "10ms"}
    running = supervise(
        {"web": shell("echo secret")}, settings={"ship": {"safe": {**sink, **own}, "bare": sink}}
    )
    until(lambda: any(one.get("line") == "secret" for one in receiver.records), "a line")
    failed = running.event("ship.failed", sink="bare")
    assert "certificate verify failed" in failed["error"]
    assert "ship: bare: not shipping since" in running.done("status")


def test_records_of_before_a_crash_are_shipped_after_it(supervise: Supervise, receiver: Receiver) -> None:
    sink = {"type": "http", "url": receiver.url, "linger": "10ms", "events": []}
    script = "i=0; while [ $i -lt 3000 ]; do echo $i; i=$((i+1)); done; exec sleep 1000"

    def by_id() -> dict[str, str]:
        return {one["id"]: one["line"] for one in receiver.records}

    def more(before: int) -> None:
        until(lambda: len(receiver.records) > before, "more")

    running = supervise({"web": shell(script)}, settings={"ship": {"here": sink}})
    for _ in range(2):
        before = min(len(receiver.records), 2999)
        daemon = next(line for line in running.left_processes() if "supervisor.daemon" in line)
        os.kill(int(daemon.partition(":")[0]), signal.SIGKILL)
        running.until_answering()
        more(before)

    until(lambda: len(by_id()) == 3000, "all lines")
    assert by_id() == {f"web/1/stdout/{number + 1}": str(number) for number in range(3000)}


def test_what_retention_removes_while_a_receiver_is_away_is_counted_to_the_line(supervise: Supervise) -> None:
    port, count = free_port(), 20_000
    sink = {
        "type": "http",
        "url": f"http://127.0.0.1:{port}/",
        "linger": "10ms",
        "events": [],
        "backoff": {"max": "500ms"},
    }
    script = f"for part in 1 2 3 4; do seq {count // 4}; sleep 0.1; done"
    running = supervise.prepare({"web": shell(script)}, settings={"ship": {"here": sink}})
    file = running.configs / "all.toml"
    logs = '"logs" = { "segment" = "64KiB", "keep" = "64KiB", "compress" = "none", '
    file.write_text(file.read_text().replace('"logs" = { ', logs))
    running.start()
    running.state("web", "exited")
    running.event("ship.failed", sink="here")
    running.event("logs.removed", "web")
    with receiving(port) as receiver:
        until(lambda: any(one["seq"] == count for one in receiver.records), "the last line")
        dropped = running.event("ship.dropped", "web", sink="here", at_least=False)["lines"]
        assert dropped > 0
        got = {one["seq"] for one in receiver.records}
        assert (
            len(got) + dropped == count - min(got) + 1
        )  # what was gone before it was first read is nobody's
