"""Words to the service manager that started us (sd_notify(3)), if one did."""

import errno
import os
import socket


def notify(state: str) -> None:
    """Send one of protocol.NOTIFY_STATES to $NOTIFY_SOCKET; a manager that has gone away is no error."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        try:
            manager.sendto(state.encode(), address)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
                raise
