"""The carrier of each type of sink."""

from supervisor.core.sinks import Sink
from supervisor.ship.carrier import Carrier
from supervisor.ship.journal import Journal
from supervisor.ship.otlp import Otlp
from supervisor.ship.syslog import OverDatagrams, OverStream
from supervisor.ship.web import Web


def make(sink: Sink) -> Carrier:
    """Raises OSError or ValueError where certificates are none."""
    if sink.type == "syslog":
        stream = sink.address.partition(":")[0] in ("tcp", "tls")
        return OverStream(sink) if stream else OverDatagrams(sink)
    if sink.type == "otlp":
        return Otlp(sink)
    if sink.type == "journald":
        return Journal(sink)
    return Web(sink)
