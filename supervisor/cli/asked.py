"""What is asked of records on the command line."""

from typing import NamedTuple

from supervisor.logs.wanted import Wanted


class Asked(NamedTuple):
    """`names` (): every container. `output`, `events`: their output, the supervisor's records about them."""

    names: tuple[str, ...]
    wanted: Wanted
    last: int | None = None
    reverse: bool = False
    follow: bool = False
    output: bool = True
    events: bool = False
