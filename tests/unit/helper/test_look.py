"""Holds of a look through the network: what a service answers decides, within its time, whatever bytes it sends."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.helper.look import Look, judge
from supervisor.helper.protocol import Probe

GOOD = [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 204 \r\n", b"HTTP/1.1 302 Found\nLocation: x", b"HTTP/1.1 399\r\n"]
BAD = {
    b"HTTP/1.1 503 Service Unavailable\r\n": "answered 503 Service Unavailable",
    b"HTTP/1.1 404\n": "answered 404",
    b"HTTP/1.1 100 Continue\r\n": "answered 100 Continue",
    b"HTTP/1.1 500 a\x1b[2Jb\r\n": "answered 500 a?[2Jb",
    b"HTTP/2 200\r\n": "did not answer in HTTP/1.1",
    b"HTTP/1.1 2000 OK\r\n": "did not answer in HTTP/1.1",
    b"-ERR unknown command\r\n": "did not answer in HTTP/1.1",
}


@pytest.mark.parametrize("heard", GOOD, ids=repr)
def test_2xx_and_3xx_are_well(heard: bytes) -> None:
    assert judge(heard) == ""


@pytest.mark.parametrize("heard", BAD, ids=repr)
def test_anything_else_is_told_in_words(heard: bytes) -> None:
    assert judge(heard) == BAD[heard]


@given(st.binary(max_size=300).map(lambda data: data + b"\n"))
def test_whatever_is_answered_is_told_in_printable_words(heard: bytes) -> None:
    why = judge(heard)
    assert why.isprintable()
    assert len(why) < 120


@contextmanager
def service(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """The port of one that deals with one connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                answer(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listening.getsockname()[1])
        thread.join()


def look(port: int, says: str = "", timeout: float = 60.0, hosts: tuple[str, ...] = ("127.0.0.1",)) -> str:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        one = Look(Probe(timeout, hosts=hosts, port=port, says=says), ours)
        try:
            why = one.why_not()
            one.read_out()
            return why
        finally:
            if one.connection:
                one.connection.close()


def test_who_accepts_is_there() -> None:
    with service(lambda _: None) as port:
        assert look(port) == ""


def test_a_port_that_nobody_listens_at_is_named_and_so_is_the_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert look(port) == f"port {port} of 127.0.0.1: Connection refused"


def test_of_several_addresses_one_suffices() -> None:
    with service(lambda _: None) as port:
        assert look(port, hosts=("127.9.9.9", "127.0.0.1")) == ""


def test_the_request_is_sent_as_declared_and_the_answer_read_to_its_end() -> None:
    heard = []

    def answer(connection: socket.socket) -> None:
        heard.append(connection.recv(4096))
        for piece in (b"HTT", b"P/1.1 200", b" OK\r", b"\n\r\n" + b"x" * 100_000):
            connection.sendall(piece)

    with service(answer) as port:
        assert look(port, "GET / HTTP/1.1\r\n\r\n") == ""
    assert heard == [b"GET / HTTP/1.1\r\n\r\n"]


def test_who_closes_without_an_answer_is_not_well() -> None:
    with service(lambda connection: connection.recv(4096)) as port:
        assert look(port, "GET / HTTP/1.1\r\n\r\n") == "closed the connection before it answered"


def test_who_never_ends_a_line_is_not_read_for_ever() -> None:
    def answer(connection: socket.socket) -> None:
        try:
            while True:
                connection.sendall(b"x" * 4096)
        except OSError:
            return

    with service(answer) as port:
        assert look(port, "GET / HTTP/1.1\r\n\r\n") == "did not answer in HTTP/1.1"


def test_who_says_nothing_is_waited_for_until_the_time_is_up() -> None:
    done = threading.Event()
    with service(lambda _: done.wait(60)) as port:
        with pytest.raises(TimeoutError):
            look(port, "GET / HTTP/1.1\r\n\r\n", timeout=0.1)
        done.set()
