"""Files of logs that could not be read completely: one line each on standard error, and the exit code 1 at the end.

Law: what could be read of them, and of all others, is printed nevertheless.
"""

import sys

from supervisor.cli.render import safe


class Unread:
    """Remembers whether there was one."""

    def __init__(self) -> None:
        self._any = False

    def tell(self, path: str, wrong: str) -> None:
        self._any = True
        print(safe(f"supervisor: {path} is damaged: {wrong}"), file=sys.stderr)

    def code(self) -> int:
        return 1 if self._any else 0
