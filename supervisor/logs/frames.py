"""Compressed segments: frames that can be read one by one, in files that any tool reads as one.

`zst` is the zstd seekable format: frames, then their table in a skippable frame at the end, so
`zstdcat` reads it. `gz` is gzip members, each with its length and its content's in an extra field
of its header (RFC 1952), so `zcat` reads it and the table is found by hopping from one to the next.

Laws: a frame holds whole lines, about FRAME bytes of them, and is of use without the others. A
file without our table (somebody compressed it by hand) is one frame. Damage is an OSError; who asks for what can
be read nevertheless looks for frames where they lie (`salvage`), since a table may be what is damaged.
"""

import errno
import gzip
import os
import struct
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import zstandard

FRAME = 4 << 20

_ZSTD_LEVEL = 3
_SKIPPABLE = 0x184D2A5E
_SEEKABLE = 0x8F92EAB1
_CHECKSUMS = 0x80
_FOOTER = struct.Struct("<IBI")
_HEADER = struct.Struct("<II")
_PAIR = struct.Struct("<II")

_GZIP_LEVEL = 6
#: Magic, deflate, FEXTRA, no time, nothing about the level, of Unix; the field: "MO", lengths of member and content.
_MEMBER = struct.Struct("<4sIBBH2sHII")
_MAGIC = b"\x1f\x8b\x08\x04"
_FIELD = b"MO"
_UNIX = 3
_TRAILER = struct.Struct("<II")


class Frame(NamedTuple):
    """`length` bytes of the file from `at` on become `size` bytes of the segment from `start` on."""

    at: int
    length: int
    start: int
    size: int


class Format(NamedTuple):
    """`pack` makes a frame of a block, `close` what follows the last one.

    A frame of ours begins with `magic`; a `reader` is a decompressobj for the one that it is given first.
    """

    suffix: str
    pack: Callable[[bytes], bytes]
    close: Callable[[list[tuple[int, int]]], bytes]
    unpack: Callable[[bytes], bytes]
    lengths: Callable[[int], list[tuple[int, int]] | None]
    magic: bytes
    reader: Callable[[], Any]


def pack(form: Format, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """What the file is made of, piece by piece."""
    lengths = []
    for block in blocks:
        frame = form.pack(block)
        lengths.append((len(frame), len(block)))
        yield frame
    yield form.close(lengths)


def table(form: Format, fd: int) -> list[Frame] | None:
    """The frames of a file; None if it is not one of ours."""
    lengths = form.lengths(fd)
    if lengths is None:
        return None
    places = accumulate(lengths, lambda ends, pair: (ends[0] + pair[0], ends[1] + pair[1]), initial=(0, 0))
    return [Frame(at, after - at, start, end - start) for (at, start), (after, end) in pairwise(places)]


def unpack(form: Format, data: bytes, size: int | None = None) -> bytes:
    """The content, which must be of `size` bytes if that is known."""
    try:
        content = form.unpack(data)
    except (zstandard.ZstdError, zlib.error, gzip.BadGzipFile, EOFError) as error:
        raise OSError(errno.EIO, f"damaged segment: {error}") from error
    if size is not None and len(content) != size:
        raise OSError(errno.EIO, f"damaged segment: {len(content)} bytes instead of {size}")
    return content


# ── damaged ────────────────────────────────────────────────────────────────────────────────


#: What may be wrong besides what the libraries say.
EMPTY = "it is empty"
CUT_OFF = "it was cut off"


class Salvage(NamedTuple):
    """What can be read of a file, and what is `wrong` with the rest; "" if nothing is."""

    frames: list[Frame]
    wrong: str


class _Piece(NamedTuple):
    content: bytes
    length: int
    wrong: str


def salvage(form: Format, fd: int) -> Salvage:
    """Every frame that can be read, wherever it lies; of a file that was cut off, the beginning of its last frame too."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    cut_off = form.lengths(fd) is None
    found: list[Frame] = []
    at, start, wrong = 0, 0, "" if data else EMPTY
    while 0 <= at < len(data):
        piece = _first(form, memoryview(data)[at:])
        after = at + piece.length
        if piece.wrong:
            wrong = wrong or piece.wrong
            after = data.find(form.magic, at + 1)
        if piece.content and (not piece.wrong or (cut_off and after < 0)):
            found.append(Frame(at, piece.length, start, len(piece.content)))
            start += len(piece.content)
        at = after
    return Salvage(found, wrong)


def moved(offset: int, before: Sequence[Frame], after: Sequence[Frame]) -> int:
    """Where that is once frames have been left out: what lies before it is the same, but for these."""
    frame = before[bisect_right(before, offset, key=lambda each: each.start) - 1]
    end = after[-1].start + after[-1].size if after else 0
    same = next((each for each in after if each.at >= frame.at), Frame(-1, 0, end, 0))
    return same.start + (min(offset - frame.start, same.size) if same.at == frame.at else 0)


def salvaged(form: Format, data: bytes) -> bytes:
    """The content of one of its frames, or of the beginning of one."""
    return _first(form, data).content


def _first(form: Format, data: bytes | memoryview) -> _Piece:
    reader = form.reader()
    try:
        content = reader.decompress(data)
    except (zstandard.ZstdError, zlib.error) as error:
        return _Piece(b"", 0, str(error))
    if not reader.eof:
        return _Piece(content, len(data), CUT_OFF)
    return _Piece(content, len(data) - len(reader.unused_data), "")


# ── zstd ───────────────────────────────────────────────────────────────────────────────────


def _zstd_pack(block: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True).compress(block)


def _zstd_close(lengths: list[tuple[int, int]]) -> bytes:
    body = b"".join(_PAIR.pack(*pair) for pair in lengths) + _FOOTER.pack(len(lengths), 0, _SEEKABLE)
    return _HEADER.pack(_SKIPPABLE, len(body)) + body


def _zstd_unpack(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


def _zstd_lengths(fd: int) -> list[tuple[int, int]] | None:
    size = os.fstat(fd).st_size
    footer = os.pread(fd, _FOOTER.size, max(0, size - _FOOTER.size))
    if len(footer) < _FOOTER.size:
        return None
    count, descriptor, magic = _FOOTER.unpack(footer)
    each = _PAIR.size + (4 if descriptor & _CHECKSUMS else 0)
    start = size - _FOOTER.size - count * each - _HEADER.size
    if magic != _SEEKABLE or start < 0:
        return None
    body = os.pread(fd, count * each, start + _HEADER.size)
    lengths = [_PAIR.unpack_from(body, at) for at in range(0, len(body), each)]
    return lengths if sum(length for length, _ in lengths) == start else None


# ── gzip ───────────────────────────────────────────────────────────────────────────────────


def _gzip_pack(block: bytes) -> bytes:
    deflate = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = deflate.compress(block) + deflate.flush()
    length = _MEMBER.size + len(body) + _TRAILER.size
    field = (_MEMBER.size - 12, _FIELD, 8, length, len(block))
    return _MEMBER.pack(_MAGIC, 0, 0, _UNIX, *field) + body + _TRAILER.pack(zlib.crc32(block), len(block))


def _gzip_lengths(fd: int) -> list[tuple[int, int]] | None:
    size, at, lengths = os.fstat(fd).st_size, 0, []
    while at < size:
        header = os.pread(fd, _MEMBER.size, at)
        if len(header) < _MEMBER.size:
            return None
        magic, _, _, _, _, field, count, length, content = _MEMBER.unpack(header)
        if (magic, field, count) != (_MAGIC, _FIELD, 8) or length < _MEMBER.size:
            return None
        lengths.append((length, content))
        at += length
    return lengths if at == size else None


FORMATS = (
    Format(
        ".jsonl.zst",
        _zstd_pack,
        _zstd_close,
        _zstd_unpack,
        _zstd_lengths,
        zstandard.FRAME_HEADER,
        lambda: zstandard.ZstdDecompressor().decompressobj(),
    ),
    Format(
        ".jsonl.gz",
        _gzip_pack,
        lambda _: b"",
        gzip.decompress,
        _gzip_lengths,
        _MAGIC,
        lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    ),
)
