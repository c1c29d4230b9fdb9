"""Importing a library without another one that it would bring along where that is installed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without(name: str) -> Iterator[None]:
    """Within, there is no module of this name; one that has been imported already is there all the same."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what the import system reads as "there is none"
    try:
        yield
    finally:
        del sys.modules[name]
