"""The carrier of each type of sink."""

from supervisor.core.sinks import Sink
from supervisor.ship.carrier import Carrier
from supervisor.ship.syslog import OverDatagrams, OverStream
from supervisor.ship.web import Web


def make(sink: Sink) -> Carrier:
    """Raises OSError or ValueError where certificates are none."""
    if sink.type == "syslog":
        stream = sink.address.partition(":")[0] in ("tcp", "tls")
        return OverStream(sink) if stream else OverDatagrams(sink)
    return Web(sink)
