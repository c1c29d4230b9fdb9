"""Rung when there are new records; costs a comparison when nobody waits."""

import trio


class Bell:
    """A bell may hang on another one, which it rings too.

    Subscribe, read what there is, then wait: a ring in between is not missed.
    """

    def __init__(self, above: "Bell | None" = None) -> None:
        self._above = above
        self._event: trio.Event | None = None

    def subscribe(self) -> trio.Event:
        """Set at the next ring."""
        if self._event is None:
            self._event = trio.Event()
        return self._event

    def ring(self) -> None:
        if self._event is not None:
            self._event.set()
            self._event = None
        if self._above is not None:
            self._above.ring()
