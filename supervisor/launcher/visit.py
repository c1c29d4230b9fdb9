"""A command in a container, as whoever asked the helper for it holds it.

It goes past the daemon, which may name no command, to the helper's own socket, which only root may use.
"""

import os
import socket
from contextlib import suppress

from supervisor.errors import RequestError
from supervisor.helper.asked import VISIT_MAX, Visit, encode_visit
from supervisor.helper.protocol import MAX, Report, Request, decode_report, encode_request

__all__ = ["Report", "Visit", "Visitor"]

SOCKET = "exec.sock"
_STREAMS = 3


class Visitor:
    """Closing it sends the command a SIGHUP, if it has not ended."""

    def __init__(self, address: str, visit: Visit) -> None:
        """Raises OSError when nobody may be asked there, RequestError for what is too long to ask."""
        data = encode_visit(visit)
        if len(data) > VISIT_MAX:
            raise RequestError("invalid", f"the command and its arguments take more than {VISIT_MAX} bytes")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._socket.connect(address)
            with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it closed
                self._socket.send(data)
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        return self._socket.fileno()

    def receive(self) -> tuple[Report | None, list[int]]:
        """The next report, with the descriptors that come along; None when the other side is gone."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, MAX, _STREAMS)
        except ConnectionResetError:
            # It closed without reading all that we said. What it had to say before is still there.
            data, descriptors, _, _ = socket.recv_fds(self._socket, MAX, _STREAMS)
        for one in descriptors:
            os.set_inheritable(one, False)
        return decode_report(data) if data else None, descriptors

    def signal(self, number: int) -> None:
        """Ask for a signal to the command's process group; one that has ended hears nothing."""
        with suppress(OSError):
            self._socket.send(encode_request(Request("signal", signal=number)))

    def close(self) -> None:
        self._socket.close()
