"""The command line's way to the API: synchronous, one connection a call, standard library only.

Laws: HTTP/1.1 as our own server speaks it (a length or chunks). http.client would do, but
importing it costs 25 ms, more than all else that `supervisor status` does together.
"""

import json
import socket
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any

from supervisor.api.address import broken, reachable, refusal, socket_path
from supervisor.errors import Problem, RequestError

#: What is read from memory is answered at once, or something is wrong.
QUICK = 15.0
#: Seconds between attempts to connect to a server with many at its door.
AGAIN = 0.02


class Call:
    """A request that has been sent and whose answer has not been read."""

    def __init__(
        self,
        where: str | None,
        method: str,
        target: str,
        body: object = None,
        timeout: float | None = None,
    ) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
            f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        path = socket_path(where)
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(timeout)
        try:
            with reachable(path) as address:
                self._connect(address, timeout)
            self.sock.sendall(head.encode() + data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered before it closed
        except BaseException as error:
            self.sock.close()
            if isinstance(error, OSError):
                raise refusal(error, path) from None
            raise

    def _connect(self, address: str, timeout: float | None) -> None:
        """With a time-out, connect(2) does not wait for room among those to be accepted: ask again."""
        end = None if timeout is None else time.monotonic() + timeout
        while True:
            try:
                self.sock.connect(address)
            except BlockingIOError:
                if end is None or time.monotonic() > end:
                    raise
                time.sleep(AGAIN)
            else:
                return

    def chunks(self) -> Iterator[bytes]:
        """The answer's body as it comes in; RequestError for one that says so."""
        with self.sock, self.sock.makefile("rb") as stream:
            try:
                status, headers = _head(stream)
                body = _body(stream, headers)
                if status >= 400:
                    raise _failure(status, b"".join(body))
                yield from body
            except TimeoutError:
                raise RequestError("failed", "the supervisor does not answer: see its log") from None
            except (ConnectionError, ValueError):
                raise broken() from None

    def value(self) -> Any:
        """The answer, decoded."""
        try:
            return json.loads(b"".join(self.chunks()))
        except ValueError:
            raise broken() from None

    def lines(self) -> Iterator[bytes]:
        """The answer's lines as they come in, each with its newline."""
        rest = b""
        for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line + b"\n"


def _head(stream: IO[bytes]) -> tuple[int, dict[str, str]]:
    first = stream.readline(65536).split()
    if len(first) < 2 or not first[0].startswith(b"HTTP/1."):
        raise broken()
    headers = {}
    while (line := stream.readline(65536).strip()) != b"":
        key, _, value = line.partition(b":")
        headers[key.decode("latin-1").lower()] = value.decode("latin-1").strip()
    return int(first[1]), headers


def _body(stream: IO[bytes], headers: dict[str, str]) -> Iterator[bytes]:
    if headers.get("transfer-encoding", "") == "chunked":
        while size := int(stream.readline(1024).split(b";")[0], 16):
            yield _exactly(stream, size)
            stream.readline()
    else:
        yield _exactly(stream, int(headers.get("content-length", 0)))


def _exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise broken()
    return data


def _failure(status: int, body: bytes) -> RequestError:
    try:
        answer = json.loads(body)
        problems = tuple(Problem(**each) for each in answer.get("problems", ()))
        return RequestError(str(answer["error"]), str(answer["detail"]), problems)
    except (ValueError, KeyError, TypeError, AttributeError):
        return RequestError("failed", f"the supervisor answered with HTTP status {status}")


def _quote(text: str) -> str:
    """Percent-encoded; urllib.parse would cost 2.5 ms."""
    plain = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
    data = text.encode(errors="surrogateescape")
    return "".join(chr(byte) if byte in plain else f"%{byte:02X}" for byte in data)


def query(pairs: Iterable[tuple[str, object]]) -> str:
    """`?key=value&…`, or nothing."""
    text = "&".join(f"{key}={_quote(str(value))}" for key, value in pairs)
    return f"?{text}" if text else ""


def container(name: str, act: str = "") -> str:
    """The path of a container, or of something done to it."""
    return f"/v1/containers/{_quote(name)}" + (f"/{act}" if act else "")
