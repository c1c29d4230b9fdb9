"""What a caller asks of records, as the logs room has it."""

from supervisor.api.schema import EventsQuery, LogsQuery
from supervisor.errors import RequestError
from supervisor.logs import wanted as _wanted
from supervisor.logs.stamp import clock
from supervisor.logs.wanted import Wanted


def wanted(asked: EventsQuery) -> Wanted:
    """RequestError for what cannot be asked."""
    if asked.follow and (asked.until is not None or asked.reverse):
        raise RequestError(
            "invalid",
            "query: what follows has no end, and no other order: follow goes without until and reverse",
        )
    try:
        return _wanted.wanted(
            clock(),
            since=asked.since,
            until=asked.until,
            stream=asked.stream if isinstance(asked, LogsQuery) else None,
            level=asked.level,
            run=asked.run,
            field=asked.field,
        )
    except ValueError as error:
        raise RequestError("invalid", f"query: {error}") from None
