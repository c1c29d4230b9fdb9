"""Instants as answers spell them."""

from datetime import UTC, datetime


def rfc3339(seconds: float | None) -> str | None:
    """RFC 3339, UTC, microseconds, of seconds since the epoch."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
