"""Open files by name, the least recently used closed first when there are too many.

Five thousand containers under a limit of 20,000 descriptors need two each for their FIFOs;
their segments share what is left.
"""

import os
from collections import OrderedDict


class Descriptors:
    def __init__(self, most: int = 1024) -> None:
        self._most = max(1, most)
        self._open: OrderedDict[str, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def get(self, name: str) -> int | None:
        fd = self._open.get(name)
        if fd is not None:
            self._open.move_to_end(name)
        return fd

    def put(self, name: str, fd: int) -> None:
        self.drop(name)
        self._open[name] = fd
        while len(self._open) > self._most:
            os.close(self._open.popitem(last=False)[1])

    def drop(self, name: str) -> None:
        fd = self._open.pop(name, None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
