"""The last lines that one run of a container printed, found where they stand in its log.

Laws: only records of that run are given, oldest first, whatever the clock did meanwhile; the place
is found by halving, so it costs the same in a small log and in a large one; at most MOST records
and no more than what LONGEST characters of each are read and given.
"""

from contextlib import closing
from itertools import chain
from typing import Any

import msgspec

from supervisor.logs import walk
from supervisor.logs.damage import Damages
from supervisor.logs.stamp import stamp

#: Records looked at in search of a run's: between two runs there are only the supervisor's own few.
MOST = 2000
LONGEST = 2000
#: Seconds by which the end of a run may be on record before its last line is.
SLACK = 1.0


class _Output(msgspec.Struct):
    ts: str
    event: str
    run: int
    stream: str
    line: str | None = None
    data: Any = None
    line_b64: str | None = None
    partial: bool = False


_decoder = msgspec.json.Decoder(_Output)


def last_words(
    log_dir: int, name: str, run: int, ended_at: float | None, n: int, *, damages: Damages | None = None
) -> list[dict[str, Any]]:
    """At most `n` of {ts, stream, line | data | line_b64}; `ended_at` in seconds since the epoch, None: not yet.

    `cut`: the line was longer and only its beginning is here. [] where there is no log (any more). What cannot
    be read is left out; `damages` hears of it.
    """
    until = None if ended_at is None else stamp(ended_at + SLACK)
    found: list[dict[str, Any]] = []
    looked = 0
    with closing(walk.backwards(log_dir, name, until=until, most=walk.FIRST, damages=damages)) as blocks:
        for raw in chain.from_iterable(reversed(block.split(b"\n")[:-1]) for block in blocks):
            record, looked = _read(raw), looked + 1
            if record is not None and record.run == run:
                found.append(_shown(record))
            if len(found) == n or looked >= MOST or (record is not None and record.run < run):
                break
    return found[::-1]


def _read(raw: bytes) -> _Output | None:
    try:
        record = _decoder.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return record if record.event == "output" else None


def _shown(record: _Output) -> dict[str, Any]:
    shown: dict[str, Any] = {"ts": record.ts, "stream": record.stream}
    for key in ("line", "line_b64"):
        text = getattr(record, key)
        if text is not None:
            shown[key] = text[:LONGEST]
            return shown | ({"cut": True} if len(text) > LONGEST else {})
    if len(msgspec.json.encode(record.data)) > LONGEST:
        return shown | {"line": msgspec.json.encode(record.data).decode()[:LONGEST], "cut": True}
    return shown | {"data": record.data}
