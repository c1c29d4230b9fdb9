"""A service that says when it began, to the nanosecond: the same small program under every supervisor.

beacon_x86_64.S and beacon_aarch64.S in this folder, assembled: no interpreter and no shell is measured along.
"""

import os
import platform
import select
import struct
import time

from supervisor.kernel.zygote import elf

CODE = {
    "x86_64": bytes.fromhex(
        "b8e4000000bf01000000488d7424e04989f50f05488b7c2410488d05360000004885ff480f44f8b802000000be010000"
        "0031d20f0589c7b8010000004c89eeba100000000f05b8030000000f05b8220000000f05ebf7626561636f6e00"
    ),
    "aarch64": bytes.fromhex(
        "200080d2f38300d1e10313aa280e80d2010000d4e10b40f9e20200103f0000f14100819a600c8092220080d2030080d2"
        "080780d2010000d4f403002ae10313aa020280d2080880d2010000d4e003142a280780d2010000d4000080d2010080d2"
        "020080d2030080d2280980d2010000d4faffff17626561636f6e00"
    ),
}
_TIME = struct.Struct("=qq")


def write_program(path: str) -> None:
    machine = platform.machine()
    with open(path, "wb") as file:
        file.write(elf(machine, CODE[machine]))
    os.chmod(path, 0o755)


class Beacons:
    """The FIFO that all of them write into, read as they come."""

    def __init__(self, path: str) -> None:
        self.path = path
        os.mkfifo(path)
        os.chmod(path, 0o666)
        self._reader = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def wait(self, count: int, seconds: float = 120.0) -> list[float]:
        """When the next `count` services began, as time.monotonic() counts. TimeoutError says how many did."""
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        began: list[float] = []
        end = time.monotonic() + seconds
        while len(began) < count:
            if not poll.poll(max(0.0, end - time.monotonic()) * 1000):
                raise TimeoutError(f"{len(began)} of {count} began within {seconds:g} s")
            data = os.read(self._reader, (count - len(began)) * _TIME.size)
            began += [whole + part / 1e9 for whole, part in _TIME.iter_unpack(data)]
        return began

    def close(self) -> None:
        os.close(self._reader)
