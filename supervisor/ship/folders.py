"""Where records are, and who says that there are new ones: what shipping needs of the logs."""

import os
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

import trio

#: A container's folder, or a replica's.
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*(\.[0-9]+)?")


class Folders(NamedTuple):
    """`names` are the containers there are now; `subscribe` gives an event that is set at the next record of a
    folder, or of any (None).
    """

    log_dir: int
    names: Callable[[], Iterable[str]]
    subscribe: Callable[[str | None], trio.Event]

    def there(self) -> list[str]:
        """Every folder of records on disk."""
        return sorted(name for name in os.listdir(self.log_dir) if _NAME.fullmatch(name))
