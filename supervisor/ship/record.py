"""One record on its way: its bytes as they stand in the segment, and what of it is needed to choose and to name it.

Law: an `id` is the same whenever a record is shipped, and no two records of a supervisor share one. Of output
it is container/run/stream/seq; the supervisor's own records have no number, so theirs says where they stand.
"""

import binascii
from typing import Any, NamedTuple

import msgspec


class Head(msgspec.Struct, gc=False):
    """What stands first in every record, and the name of a sink."""

    ts: str
    level: str
    event: str
    container: str = ""
    run: int = 0
    stream: str = ""
    seq: int = 0
    sink: str = ""  # of records about shipping: which sink they are about


class Record(NamedTuple):
    raw: bytes
    head: Head
    id: str


class _Text(msgspec.Struct):
    line: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    line_b64: str | None = None


_text = msgspec.json.Decoder(_Text)
_head = msgspec.json.Decoder(Head)
#: Keys that `rest` leaves out: they have places of their own in every protocol.
NAMED = ("ts", "level", "event", "container", "run", "stream", "seq")


def head_of(raw: bytes) -> Head | None:
    """None of a line that is no record; somebody else must have put it there."""
    try:
        return _head.decode(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None


def of_shipping(head: Head) -> bool:
    """Whether it is the supervisor's own word about a sink; what a container prints is called otherwise."""
    return head.event.startswith("ship.")


def identity(head: Head, stem: str, offset: int) -> str:
    """`stem` is the time in its segment's mark, `offset` where the record begins."""
    if head.seq:
        return f"{head.container}/{head.run}/{head.stream}/{head.seq}"
    return f"supervisor/{stem}/{offset}"


def text_of(record: Record) -> bytes:
    """What was printed, byte for byte; of the supervisor's own records, the record."""
    found = _text.decode(record.raw)
    if found.line is not None:
        return found.line.encode()
    if found.line_b64 is not None:
        return binascii.a2b_base64(found.line_b64)
    return bytes(found.data) or record.raw


def whole(record: Record) -> dict[str, Any]:
    """All of it."""
    found: dict[str, Any] = msgspec.json.decode(record.raw)
    return found


def rest(content: dict[str, Any]) -> dict[str, Any]:
    """What is neither named in every record nor its text."""
    return {key: value for key, value in content.items() if key not in NAMED}
