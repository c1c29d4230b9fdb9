"""Bytes that a container printed, as records: pure, no clock, no I/O.

Laws:
* Nothing is altered or dropped: the `line`s (or decoded `line_b64`s), each followed by a newline
  unless it is `partial`, are the bytes that were printed.
* A record is one line of JSON whatever was printed: every string goes through the JSON encoder,
  which escapes quotes, backslashes and all control characters below U+0020.
* `data` is the container's own JSON text, its numbers and repeated keys untouched, but only if
  it decodes completely; else it is a `line` like any other (so is 1e999, or nesting that is too deep).
* An unfinished last line is left in the pipe, unless it is already longer than `max_line`, or
  no more would fit (`full`), or no more will come (`final`). At least one byte that is no newline
  is kept back from a `partial` piece, so its last piece is never empty and always follows.
* A line is cut between UTF-8 characters, also where the last one has not come completely; within one only if
  it is longer than `max_line` or alone in a full pipe. So UTF-8 stays text, however it was written.
* The level of output is "info" on both streams: stderr is where programs put progress as well
  as errors, and the stream says which it was. Only `data` may say another one, and its time and message (see `inner`).

Speed: whole lines of plain text go through one bytes format, whose places are the numbers; anything else through a
list of msgspec structs and one `encode_lines`, which takes two and a half times as long. Joining prefixes by hand is no
faster than that.
"""

import binascii
from codecs import utf_8_decode
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from supervisor.logs.inner import Inner, inner
from supervisor.logs.limit import Loss

#: Records in one batch. Empty lines are the worst case: 130 bytes of record for one printed.
MOST_RECORDS = 16_384

#: Escapes that are no control characters' (RFC 8259); the backslash comes first.
_ESCAPES = ((b"\\", b"\\\\"), (b'"', b'\\"'))

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class _Head(msgspec.Struct, frozen=True, gc=False):
    ts: str
    level: str
    event: str
    container: str
    run: int
    stream: str
    seq: int


class _Line(_Head, frozen=True, gc=False):
    line: str


class _PartialLine(_Line, frozen=True, gc=False):
    partial: bool = True


class _Blob(_Head, frozen=True, gc=False):
    line_b64: str


class _PartialBlob(_Blob, frozen=True, gc=False):
    partial: bool = True


class _Data(_Head, frozen=True, gc=False, omit_defaults=True):
    time: str | None = None
    msg: str | None = None
    data: msgspec.Raw = msgspec.Raw()


class _Dropped(msgspec.Struct, frozen=True):
    ts: str
    level: str
    event: str
    container: str
    run: int
    stream: str
    lines: int
    bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """Whose output it is."""

    container: str
    run: int
    stream: str

    def needle(self) -> bytes:
        """What follows the level in every record of this source, up to the digits of `seq`."""
        head = _Head("", "", "output", self.container, self.run, self.stream, 0)
        return _encoder.encode(head).removeprefix(b'{"ts":"","level":""').removesuffix(b"0}")


@dataclass(frozen=True, slots=True)
class Batch:
    """`data` holds `count` records, made of the first `consumed` bytes of the chunk."""

    data: bytes
    count: int
    consumed: int


@dataclass(frozen=True, slots=True)
class Shape:
    """How a container's lines become records."""

    json: bool = False
    max_line: int = 64 << 10


def encode(
    chunk: bytes,
    source: Source,
    seq: int,
    ts: str,
    shape: Shape,
    *,
    full: bool = False,
    final: bool = False,
) -> Batch:
    """Records of the lines at the start of `chunk`, numbered from `seq` on."""
    limit = max(1, shape.max_line)
    end = chunk.rfind(b"\n") + 1
    if end and _all_short(chunk, limit) and not shape.json and not (final and end < len(chunk)):
        plain = _plain(chunk[: end - 1], source, seq, ts)
        if plain is not None:
            return Batch(plain[0], plain[1], end)
    if chunk.count(b"\n") > MOST_RECORDS:
        end = len(chunk) - len(chunk.split(b"\n", MOST_RECORDS)[-1])
        rest = b""
    else:
        rest = chunk[end:]
    whole = chunk[:end]
    head = ("info", "output", source.container, source.run, source.stream)

    records: list[_Head] = []
    lines = None if shape.json else _short_lines(whole, limit)
    if lines is not None:
        level, event, container, run, stream = head  # unpacked once: `*head` per line is half as fast
        records += [
            _Line(ts, level, event, container, run, stream, n, line) for n, line in enumerate(lines, seq)
        ]
    else:
        for raw in whole.split(b"\n")[:-1]:
            for piece, partial in _pieces(raw, limit):
                as_json = shape.json and not partial and len(raw) == len(piece)
                records.append(
                    _record(piece, (ts, *head, seq + len(records)), partial=partial, as_json=as_json)
                )

    consumed = end
    for piece, partial in _unfinished(rest, limit, full=full and not end, final=final):
        consumed += len(piece)
        as_json = shape.json and not partial and len(piece) == len(rest)
        records.append(_record(piece, (ts, *head, seq + len(records)), partial=partial, as_json=as_json))
    return Batch(_encoder.encode_lines(records), len(records), consumed)


def _all_short(chunk: bytes, limit: int) -> bool:
    """Whether it is plain that no line is longer than `limit`: a newline is in every piece of half of that."""
    if len(chunk) <= limit:
        return True
    step = max(1, limit // 2)
    return all(chunk.find(b"\n", at, at + step) >= 0 for at in range(0, len(chunk) - step, step)) and (
        chunk.find(b"\n", len(chunk) - step) >= 0
    )


def _plain(lines: bytes, source: Source, seq: int, ts: str) -> tuple[bytes, int] | None:
    """The records of whole lines of UTF-8 without control characters, as one format for all of their numbers.

    None where that cannot be said of them: the whole as one JSON string tells, by its length, how many
    characters must be written as escapes; if not each is a newline, the format has fewer places than there are numbers.
    """
    try:
        text = lines.decode()
    except UnicodeDecodeError:
        return None
    for byte, escape in _ESCAPES:
        if byte in lines:
            lines = lines.replace(byte, escape)
    count = len(_encoder.encode(text)) - len(b'""') - len(lines) + 1
    if not 0 < count <= MOST_RECORDS:
        return None
    head = b'{"ts":"%b","level":"info"%b%%d,"line":"' % (ts.encode(), source.needle())
    form = head + lines.replace(b"%", b"%%").replace(b"\n", b'"}\n' + head) + b'"}\n'
    try:
        return form % tuple(range(seq, seq + count)), count
    except TypeError:
        return None


def _short_lines(whole: bytes, limit: int) -> list[str] | None:
    """The lines as text; None if one is not UTF-8 or may be longer than `limit` bytes."""
    try:
        text = whole.decode()
    except UnicodeDecodeError:
        return None
    lines = text.split("\n")
    lines.pop()
    if len(whole) > limit and lines and max(map(len, lines)) * (1 if text.isascii() else 4) > limit:
        return None
    return lines


def _pieces(line: bytes, limit: int) -> Iterator[tuple[bytes, bool]]:
    """A whole line in pieces of at most `limit` bytes; True marks all but the last."""
    at = 0
    while len(line) - at > limit:
        cut = _boundary(line, at, at + limit)
        yield line[at:cut], True
        at = cut
    yield line[at:], False


def _unfinished(rest: bytes, limit: int, *, full: bool, final: bool) -> Iterator[tuple[bytes, bool]]:
    """What is taken of a line whose newline has not come."""
    if not rest:
        return
    if final:
        yield from _pieces(rest, limit)
        return
    if full and len(rest) <= limit:
        yield rest[: max(1, _boundary(rest, 0, len(rest) - 1))], True
        return
    for piece, partial in _pieces(rest, limit):
        if partial:
            yield piece, True


def _boundary(line: bytes, start: int, cut: int) -> int:
    """Where to cut at or shortly before `cut`, so that a UTF-8 character stays whole if there is, or may yet be, one."""
    lead = cut
    while lead > max(start, cut - 3) and line[lead] & 0xC0 == 0x80:
        lead -= 1
    if lead in (start, cut):
        return cut
    width = (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 3, 4)[line[lead] >> 4]
    try:
        utf_8_decode(line[lead : lead + width])  # of which no more than the beginning may have come
    except UnicodeDecodeError:
        return cut
    return lead if lead + width > cut else cut


def _record(
    piece: bytes, head: tuple[str, str, str, str, int, str, int], *, partial: bool, as_json: bool
) -> _Head:
    if as_json and (found := _json_object(piece)) is not None:
        data, said = found
        ts, level, event, container, run, stream, seq = head
        return _Data(ts, said.level or level, event, container, run, stream, seq, said.time, said.msg, data)
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        blob = binascii.b2a_base64(piece, newline=False).decode()
        return _PartialBlob(*head, blob) if partial else _Blob(*head, blob)
    return _PartialLine(*head, text) if partial else _Line(*head, text)


def dropped(source: Source, ts: str, loss: Loss, reason: str) -> bytes:
    """The record that stands where lines were dropped."""
    where = (source.container, source.run, source.stream)
    record = _Dropped(ts, "warning", "output.dropped", *where, loss.lines, loss.bytes, reason)
    return _encoder.encode(record) + b"\n"


def _json_object(line: bytes) -> tuple[msgspec.Raw, Inner] | None:
    """The object's own text without the blanks between its tokens, and what it says; None if it is no JSON object."""
    if not line.lstrip(b" \t\r").startswith(b"{"):
        return None
    try:
        line.decode()
        said = inner(_decoder.decode(line))
        return msgspec.Raw(msgspec.json.format(line, indent=-1)), said
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return None
