"""Messages for the API that no client of ours sends: valid ones damaged, cut, joined and padded, and plain noise.

Laws: seeded, so that a failure can be had again. None of them, whole or damaged, may change anything: those
that act name a container that is far from any other (`NOBODY`), or miss their last byte.
"""

import random
from collections.abc import Iterator

NOBODY = "zzzz-no-such-container"

READING = (
    b"GET /v1/info HTTP/1.1\r\nhost: x\r\n\r\n",
    b"GET /v1/containers?name=web HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n",
    b"GET /v1/containers/web HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    b"GET /v1/logs?n=1&follow=0 HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    b"GET /v1/events?n=2 HTTP/1.1\r\nhost: x\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\n\r\n",
    b"HEAD /v1/openapi.json HTTP/1.0\r\n\r\n",
)
ACTING = (
    b"POST /v1/containers/%b/start HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    b"POST /v1/containers/%b/stop HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}",
    b"POST /v1/containers/%b/restart HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n{}",
    b'POST /v1/containers/%b/kill HTTP/1.1\r\nhost: x\r\ncontent-length: 20\r\n\r\n{"signal": "SIGKILL"}',
)
WORDS = (
    b"\r\n", b"\r\n\r\n", b"\n", b"\0", b" ", b":", b"%00", b"%2e%2e%2f", b"../", b"?", b"&", b"\xff\xfe",
    b"content-length: 9999999999999999999\r\n", b"content-length: -1\r\n", b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n", b"ffffffffffffffff\r\n", b"0\r\n\r\n", b"HTTP/9.9", b"PRI * HTTP/2.0\r\n\r\n",
    b"[" * 2000, b'{"signal":' * 300, b"x: y\r\n" * 100, b"a" * 20_000,
)  # fmt: skip


def messages(count: int, seed: int, existing: str = "web") -> Iterator[bytes]:
    """`count` of them. `existing` is a container that is there, and must not notice."""
    dice = random.Random(seed)
    whole = [*READING, *(each % NOBODY.encode() for each in ACTING)]
    for _ in range(count):
        kind = dice.random()
        if kind < 0.1:
            yield dice.randbytes(dice.randrange(1, 400))
        elif kind < 0.25:
            # Cut before its end, which is what makes it a request.
            message = dice.choice(ACTING) % existing.encode()
            yield message[: dice.randrange(1, len(message) - 1)]
        else:
            joined = b"".join(dice.choices(whole, k=dice.choice((1, 1, 1, 2, 5))))
            yield _damaged(joined, dice)


def _damaged(message: bytes, dice: random.Random) -> bytes:
    data = bytearray(message)
    for _ in range(dice.randrange(0, 5)):
        place = dice.randrange(len(data) + 1)
        length = dice.choice((0, 0, 1, 4, 40))
        data[place : place + length] = dice.choice((dice.randbytes(dice.randrange(6)), dice.choice(WORDS)))
    return bytes(data)
