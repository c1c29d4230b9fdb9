"""The server on its socket: no client, slow, idle or mad, stops supervision or the other clients."""

import os
import socket
import stat
import subprocess
import sys
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.api import server
from supervisor.api.call import Call


def alive(served: Any) -> bool:
    return bool(Call(served.folder, "GET", "/v1/info", timeout=10).value()["version"] == "0.1.0")


def connected(served: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(10)
    sock.connect(served.path)
    return sock


def test_the_socket_has_the_mode_it_was_given(folder: str) -> None:
    with server.bind(folder, mode=0o600):
        assert stat.S_IMODE(os.stat(f"{folder}/api.sock").st_mode) == 0o600


def test_only_owner_and_group_may_connect_unless_told_otherwise(folder: str) -> None:
    with server.bind(folder):
        assert stat.S_IMODE(os.stat(f"{folder}/api.sock").st_mode) == 0o660


def test_a_socket_left_by_a_crash_is_replaced(folder: str) -> None:
    server.bind(folder).close()
    with server.bind(folder), socket.socket(socket.AF_UNIX) as client:
        client.connect(f"{folder}/api.sock")
    assert os.listdir(folder) == ["api.sock"]


def test_a_folder_is_taken_by_descriptor_and_left_open(folder: str) -> None:
    fd = os.open(folder, os.O_PATH)
    server.bind(fd).close()
    os.close(fd)
    assert os.listdir(folder) == ["api.sock"]


def test_a_path_too_long_for_a_unix_address_is_served_and_found(folder: str) -> None:
    deep = os.path.join(folder, "x" * 100, "y" * 100)
    os.makedirs(deep)
    with server.bind(deep) as sock, Call(deep, "GET", "/").sock:
        sock.accept()[0].close()


def test_a_reader_that_never_reads_holds_up_nobody_and_not_the_end(served: Any) -> None:
    async def endless() -> AsyncGenerator[bytes]:
        while True:
            yield b"x" * 65536

    served.records.more = endless
    with connected(served) as sock:
        sock.sendall(b"GET /v1/logs?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert sock.recv(1) == b"H"
        assert alive(served)
        Call(served.folder, "POST", "/v1/stop", timeout=10).value()
        assert served.records.closed.wait(10)


def test_a_follower_that_leaves_is_noticed(served: Any) -> None:
    with connected(served) as sock:
        sock.sendall(b"GET /v1/logs?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert sock.recv(1) == b"H"
    assert served.records.closed.wait(10)


def test_a_request_left_unfinished_holds_up_nobody(served: Any) -> None:
    with connected(served) as head, connected(served) as body:
        head.sendall(b"GET /v1/info HTT")
        body.sendall(b"POST /v1/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        assert alive(served)
    assert not served.stopped.is_set()


def test_headers_over_the_limit_are_refused(served: Any) -> None:
    with connected(served) as sock:
        sock.sendall(b"GET /v1/info HTTP/1.1\r\nx: " + b"y" * 100_000)
        assert sock.recv(12) == b"HTTP/1.1 431"


def test_more_connections_than_there_is_room_for_are_turned_away(served: Any) -> None:
    open_ones = [connected(served) for _ in range(server.CONNECTIONS)]
    for sock in open_ones:
        sock.sendall(b"GET /v1/info HTTP/1.1\r\nhost: x\r\n\r\n")
    for sock in open_ones:
        assert sock.recv(12) == b"HTTP/1.1 200"
    with connected(served) as late:
        assert late.recv(12) == b"HTTP/1.1 503"
    for sock in open_ones:
        sock.close()


def test_two_requests_in_one_connection_are_answered_in_turn(served: Any) -> None:
    with connected(served) as sock, sock.makefile("rb") as answer:
        sock.sendall(b"GET /v1/info HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        assert [answer.readline() for _ in range(1)] == [b"HTTP/1.1 200 \r\n"]
        sock.sendall(b"GET /v1/nope HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert answer.read().count(b"HTTP/1.1 404") == 1


GOOD = [
    b"GET /v1/containers?name=web HTTP/1.1\r\nhost: x\r\n\r\n",
    b'POST /v1/containers/web/kill HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n{"signal": "SIGHUP"}',
    b"POST /v1/containers/web/start HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"GET /v1/logs?n=1&follow=0 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    (
        b"GET /v1/logs?n=1 HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n"
        b"http2-settings: AAMAAABkAAQAAP__\r\n\r\n"
    ),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(GOOD), min_size=1, max_size=2))))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(data)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mutated())
def test_garbage_never_ends_the_server(served: Any, data: bytes) -> None:
    with connected(served) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass
        except ConnectionError:
            pass
    assert alive(served)


@pytest.mark.parametrize("data", GOOD)
def test_what_the_garbage_is_made_of_is_harmless_itself(served: Any, data: bytes) -> None:
    with connected(served) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        while sock.recv(65536):
            pass
    assert alive(served)


AFTER_THE_DROP = """
import runpy, sys, tempfile
import tests_conftest as c
from supervisor.api.call import Call
import supervisor.api.client
folder = tempfile.mkdtemp()
served = c.Served(folder, c.FakeFleet(c.container("web")), c.FakeRecords(b"{}\\n"))
before = set(sys.modules)
with served.running():
    for method, target, body in [
        ("GET", "/v1/info", None), ("GET", "/v1/containers", None), ("GET", "/v1/containers/web", None),
        ("POST", "/v1/containers/web/start", None), ("POST", "/v1/containers/web/kill", {"signal": "SIGHUP"}),
        ("GET", "/v1/openapi.json", None), ("GET", "/v1/logs", None), ("GET", "/v1/nope", None),
        ("POST", "/v1/containers/web/kill", {"signal": 9}), ("POST", "/v1/stop", None),
    ]:
        try:
            list(Call(folder, method, target, body, timeout=10).chunks())
        except Exception as error:
            pass
print(sorted(set(sys.modules) - before))
"""


def test_nothing_is_imported_once_the_server_module_is(folder: str) -> None:
    here = os.path.dirname(__file__)
    os.symlink(os.path.join(here, "conftest.py"), f"{folder}/tests_conftest.py")
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([folder, os.path.dirname(os.path.dirname(os.path.dirname(here)))]),
    }
    done = subprocess.run(
        [sys.executable, "-c", AFTER_THE_DROP],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
