"""Readiness and health as declared, lowered to what the helper makes of them: pure.

Names are not looked up: "localhost" is both loopback addresses, anything else an address already.
"""

from urllib.parse import urlsplit

from supervisor.core.spec import Health, Ready
from supervisor.helper.protocol import Probe

LOCALHOST = ("127.0.0.1", "::1")
#: Seconds after which a connection to what is not ready yet is given up, and tried again.
ATTEMPT = 5.0
_HTTP = 80


def lower_ready(ready: Ready | None) -> Probe | None:
    """None where nothing has to be done to see it. A command has all the time there is: it may wait by itself."""
    if ready is None or ready.type in ("notify", "log"):
        return None
    timeout = ready.timeout if ready.type == "exec" else min(ready.timeout, ATTEMPT)
    return _probe(ready.type, ready.subject, timeout)


def lower_health(health: Health | None) -> Probe | None:
    return None if health is None else _probe(health.type, health.subject, health.timeout)


def _probe(kind: str, subject: str | tuple[str, ...], timeout: float) -> Probe:
    if isinstance(subject, tuple):
        return Probe(timeout, argv=subject)
    if kind == "tcp":
        host, _, port = subject.rpartition(":")
        return Probe(timeout, hosts=_addresses(host.strip("[]")), port=int(port))
    parts = urlsplit(subject)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    says = (
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: supervisor\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    return Probe(timeout, hosts=_addresses(parts.hostname or ""), port=parts.port or _HTTP, says=says)


def _addresses(host: str) -> tuple[str, ...]:
    return LOCALHOST if host == "localhost" else (host,)
