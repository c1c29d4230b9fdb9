"""What an operator asks of the helper, who need not ask the daemon: a command to run in a container.

It comes from root, through a socket that the daemon has no part in (helper.door). Decoding any bytes either gives a
Visit or raises ProtocolError.
"""

import json
import os
import re
from typing import NamedTuple

from supervisor.errors import ProtocolError
from supervisor.helper.protocol import decode_object

VISIT_MAX = 65536
_VISIT = {"name": str, "argv": list, "tty": bool, "rows": int, "cols": int, "term": str}
_TERM = re.compile(r"[A-Za-z0-9._+-]{0,64}")


class Visit(NamedTuple):
    """A command to run in a live container, as its service runs; with `tty` in a terminal of rows and cols,
    whose kind the variable TERM tells.
    """

    name: str
    argv: tuple[str, ...]
    tty: bool = False
    rows: int = 0
    cols: int = 0
    term: str = ""


def decode_visit(data: bytes) -> Visit:
    fields = decode_object(data, VISIT_MAX)
    if fields.keys() != _VISIT.keys():
        raise ProtocolError("wrong keys")
    for key, kind in _VISIT.items():
        if type(fields[key]) is not kind:
            raise ProtocolError(f"{key} has the wrong type")
    if not (0 <= fields["rows"] < 1 << 16 and 0 <= fields["cols"] < 1 << 16):
        raise ProtocolError("number out of range")
    if not _TERM.fullmatch(fields["term"]):
        raise ProtocolError("term is not the name of a terminal")
    if not fields["argv"] or not fields["argv"][0] or not all(map(_is_argument, fields["argv"])):
        raise ProtocolError("argv is not a command")
    return Visit(**fields | {"argv": tuple(fields["argv"])})


def _is_argument(value: object) -> bool:
    """Whether it can be handed to execve(2)."""
    try:
        return isinstance(value, str) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:
        return False


def encode_visit(visit: Visit) -> bytes:
    return json.dumps(visit._asdict()).encode()
