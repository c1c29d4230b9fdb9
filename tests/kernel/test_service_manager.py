"""Holds under a service manager (sd_notify(3)): it hears when everything is started, that the supervisor is alive,
and that it is stopping.
"""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.running import PATIENCE, Supervise, shell

pytestmark = pytest.mark.kernel


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        # Abstract: a path may be too long for a socket's address.
        listening.bind("\0" + str(tmp_path)[-90:])
        listening.settimeout(PATIENCE)
        yield listening


def test_it_hears_of_the_start_of_life_and_of_the_stop(supervise: Supervise, manager: socket.socket) -> None:
    running = supervise.prepare({"one": shell("exec sleep 100000")})
    running.environment |= {
        "NOTIFY_SOCKET": "@" + manager.getsockname()[1:].decode(),
        # Half of it between two words: the socket's queue, which takes ten, is not full when the last one comes.
        "WATCHDOG_USEC": "2000000",
    }
    running.start()
    heard: list[bytes] = []
    while not {b"READY=1", b"WATCHDOG=1"} <= set(heard):
        heard.append(manager.recv(100))
    running.stop()
    while heard[-1] != b"STOPPING=1":
        heard.append(manager.recv(100))
    assert set(heard) <= {b"READY=1", b"WATCHDOG=1", b"STOPPING=1"}
