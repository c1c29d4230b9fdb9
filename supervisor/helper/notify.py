"""Words to the service manager that started us (sd_notify(3)), if one did."""

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send one of protocol.NOTIFY_STATES to $NOTIFY_SOCKET, if it has room; a manager that does not listen
    is no error, and never waited for: the daemon decides how often it is told.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
    ):
        manager.sendto(state.encode(), socket.MSG_DONTWAIT, address)
