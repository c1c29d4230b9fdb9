"""Ten thousand messages that are no requests, or not quite: no crash, no effect, no descriptor more."""

import os
import socket
from contextlib import suppress
from typing import Any

from supervisor.api.call import Call
from tests.support.fuzz import messages
from tests.support.running import until


def test_ten_thousand_damaged_messages_change_nothing(served: Any) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number, message in enumerate(messages(10_000, seed=20_261_124)):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(60)
            sock.connect(served.path)
            with suppress(ConnectionError):
                sock.sendall(message)
                if number % 3:  # else it is gone without a word
                    sock.shutdown(socket.SHUT_WR)
                    while sock.recv(65536):
                        pass
    assert Call(served.folder, "GET", "/v1/info", timeout=60).value()["version"]
    assert not set(served.fleet.containers) & {call[1] for call in served.fleet.calls}
    assert not served.stopped.is_set()
    assert served.errors == []
    until(lambda: len(os.listdir("/proc/self/fd")) <= before, "as many descriptors as before")
