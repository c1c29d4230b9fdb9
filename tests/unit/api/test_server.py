"""The server on its socket: no client, slow, idle or mad, stops supervision or the other clients."""

import os
import socket
import stat
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
import trio
import trio.lowlevel
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.api import server
from supervisor.api.call import Call


def alive(served: Any) -> bool:
    return bool(Call(served.folder, "GET", "/v1/info", timeout=60).value()["version"] == "0.1.0")


def ended(sock: socket.socket) -> bool:
    """Whether the server let go of it, be it with something that it had not read yet."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def connected(served: Any) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(60)
    sock.connect(served.path)
    return sock


def test_the_socket_has_the_mode_it_was_given(folder: str) -> None:
    with server.bind(folder, mode=0o600):
        assert stat.S_IMODE(os.stat(f"{folder}/api.sock").st_mode) == 0o600


def test_only_owner_and_group_may_connect_unless_told_otherwise(folder: str) -> None:
    with server.bind(folder):
        assert stat.S_IMODE(os.stat(f"{folder}/api.sock").st_mode) == 0o660


def test_the_socket_is_its_owners_own_in_whatever_folder(folder: str) -> None:
    if os.geteuid() == 0:
        os.chown(folder, -1, 12345)
        os.chmod(folder, 0o2711)  # a folder that hands its group down
    with server.bind(folder):
        found = os.stat(f"{folder}/api.sock")
    assert (found.st_uid, found.st_gid) == (os.geteuid(), os.getegid())


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: another group")
def test_the_socket_is_of_the_group_it_was_given(folder: str) -> None:
    with server.bind(folder, gid=12345):
        found = os.stat(f"{folder}/api.sock")
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 12345, 0o660)


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


async def endless() -> AsyncGenerator[bytes]:
    while True:
        yield b"x" * 65536


def test_a_reader_that_never_reads_holds_up_nobody_and_not_the_end(served: Any) -> None:
    served.records.more = endless
    with connected(served) as sock:
        sock.sendall(b"GET /v1/logs?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert sock.recv(1) == b"H"
        assert alive(served)
        Call(served.folder, "POST", "/v1/stop", timeout=60).value()
        assert served.records.closed.wait(60)


def test_a_follower_that_leaves_is_noticed(served: Any) -> None:
    with connected(served) as sock:
        sock.sendall(b"GET /v1/logs?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        assert sock.recv(1) == b"H"
    assert served.records.closed.wait(60)


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


def test_headers_over_the_limit_are_refused_also_when_they_come_at_once(served: Any) -> None:
    for headers in (b"x: y\r\n" * 100, b"x: " + b"y" * 20_000 + b"\r\n"):
        with connected(served) as sock:
            sock.sendall(b"GET /v1/info HTTP/1.1\r\nhost: x\r\n" + headers + b"\r\n")
            assert sock.recv(12) == b"HTTP/1.1 431"


def test_a_body_announced_over_the_limit_is_refused_before_it_comes(served: Any) -> None:
    with connected(served) as sock:
        sock.sendall(b"POST /v1/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n")
        assert sock.recv(12) == b"HTTP/1.1 400"
    assert not served.stopped.is_set()


@pytest.mark.parametrize(
    "framing", [b"content-length: 100000000\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n"]
)
def test_a_hundred_megabytes_are_not_taken(served: Any, framing: bytes) -> None:
    with connected(served) as sock, pytest.raises(ConnectionError):  # noqa: PT012
        sock.sendall(b"POST /v1/stop HTTP/1.1\r\nhost: x\r\n" + framing)
        for _ in range(100):
            sock.sendall(b"f4240\r\n" + b"x" * 1_000_000 + b"\r\n")
    assert alive(served)


def follow(served: Any) -> socket.socket:
    """A connection whose answer goes on."""
    sock = connected(served)
    sock.sendall(b"GET /v1/events?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n")
    assert sock.recv(12) == b"HTTP/1.1 200"
    return sock


@contextmanager
def following(served: Any, count: int) -> Iterator[None]:
    """So many of them."""
    with ExitStack() as there:
        for _ in range(count):
            there.enter_context(follow(served))
        yield


def test_where_all_are_being_answered_one_more_is_turned_away(few: Any) -> None:
    with following(few, few.door.limits.each), connected(few) as late:
        assert late.recv(12) == b"HTTP/1.1 503"


@pytest.mark.parametrize(
    "begun", [b"", b"GET /v1/info HTT", b"POST /v1/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{"]
)
def test_who_keeps_us_waiting_makes_room(few: Any, begun: bytes) -> None:
    with following(few, few.door.limits.each - 1), connected(few) as first:
        first.sendall(begun)
        for _ in range(10):
            assert alive(few)
        assert ended(first)
    assert not few.stopped.is_set()


def test_who_does_not_read_makes_room(few: Any) -> None:
    few.records.more = endless
    with following(few, few.door.limits.each):
        assert alive(few)


def test_a_head_that_comes_byte_by_byte_is_given_up(hasty: Any) -> None:
    with connected(hasty) as sock, pytest.raises(ConnectionError):  # noqa: PT012
        for byte in b"GET /v1/info?" + b"x" * 10_000:
            sock.sendall(bytes([byte]))
            time.sleep(0.01)


def test_an_answer_that_nobody_reads_is_given_up(strict: Any) -> None:
    strict.records.more = endless
    with follow(strict):
        assert strict.records.closed.wait(60)


def test_who_has_only_ended_its_own_side_gets_the_whole_answer(
    served: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE", 60.0)  # however slowly this machine takes it
    size = 300

    async def slowly() -> AsyncGenerator[bytes]:
        for number in range(size):
            await trio.lowlevel.checkpoint()
            yield b"%d\n" % number
        served.stop()
        await trio.sleep_forever()

    served.records.more = slowly
    with connected(served) as sock, sock.makefile("rb") as answer:
        sock.sendall(b"GET /v1/logs?follow=1 HTTP/1.1\r\nhost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert b"\r\n%d\n\r\n" % (size - 1) in answer.read()


@pytest.mark.parametrize("more", [b"GET /v1/info HTTP/1.1\r\nhost: x\r\n\r\n", b"x" * 300_000])
def test_a_follower_that_has_asked_for_more_and_leaves_is_noticed(served: Any, more: bytes) -> None:
    with follow(served) as sock, suppress(ConnectionError):
        sock.sendall(more)
    assert served.records.closed.wait(60)


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


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
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
