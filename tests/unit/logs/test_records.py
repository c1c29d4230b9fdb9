"""Holds: any bytes become records from which the same bytes can be had back, one line of JSON each."""

import base64
import json
from itertools import cycle
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from supervisor.logs import records
from supervisor.logs.records import Shape, Source, encode

SOURCE = Source("web", 3, "stdout")
TS = "2026-11-23T12:34:56.789012Z"

lumps = st.one_of(
    st.binary(max_size=40),
    st.text(max_size=20).map(str.encode),
    st.sampled_from([b"\n", b"\r\n", b"\0", b"\\n", b'","line":"', b"\x1b[2J", "é\u2028\U0001f600".encode()]),
)
output = st.lists(lumps, max_size=12).map(b"".join)


def parsed(data: bytes) -> list[dict[str, Any]]:
    assert not data or data.endswith(b"\n")
    return [json.loads(line) for line in data.split(b"\n")[:-1]]


def raw(record: dict[str, Any]) -> bytes:
    body = base64.b64decode(record["line_b64"]) if "line_b64" in record else record["line"].encode()
    return body + (b"" if record.get("partial") else b"\n")


def only(data: bytes, **shape: Any) -> dict[str, Any]:
    (record,) = parsed(encode(data, SOURCE, 1, TS, Shape(**shape)).data)
    return record


@given(output, st.integers(1, 50), st.integers(1, 60), st.booleans())
def test_any_bytes_in_any_chunks_come_back_whole(
    data: bytes, max_line: int, step: int, as_json: bool
) -> None:
    pending, fed, seq, got = b"", 0, 1, b""
    shape = Shape(json=False, max_line=max_line)
    while fed < len(data) or pending:
        pending += data[fed : fed + step]
        final = fed >= len(data)
        fed += step
        batch = encode(pending, SOURCE, seq, TS, shape, final=final)
        found = parsed(batch.data)
        assert [each["seq"] for each in found] == list(range(seq, seq + batch.count))
        assert all(len(raw(each).removesuffix(b"\n")) <= max_line for each in found)
        got += b"".join(map(raw, found))
        pending, seq = pending[batch.consumed :], seq + batch.count
    assert got == data + (b"" if data.endswith(b"\n") or not data else b"\n")


@given(
    st.lists(
        st.one_of(lumps, st.sampled_from([b"%d", b"%%", b"100 %", b"\\u000a", b"\\", b'"'])), max_size=12
    ).map(b"".join)
)
def test_a_record_is_spelled_alike_whatever_way_it_was_made(data: bytes) -> None:
    batch = encode(data, SOURCE, 9, TS, Shape(), final=True)
    found = parsed(batch.data)
    assert b"".join(map(raw, found)) == data + (b"" if data.endswith(b"\n") or not data else b"\n")
    assert batch.data == b"".join(msgspec.json.encode(each) + b"\n" for each in found)
    assert [each["seq"] for each in found] == list(range(9, 9 + batch.count))


@given(output, st.integers(1, 50))
def test_a_full_pipe_always_gives_up_something(data: bytes, max_line: int) -> None:
    if data:
        batch = encode(data, SOURCE, 1, TS, Shape(max_line=max_line), full=True)
        assert batch.consumed > 0
        assert b"".join(map(raw, parsed(batch.data))) == data[: batch.consumed]


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])), st.integers(4, 9))
def test_pieces_of_text_are_text(text: str, max_line: int) -> None:
    found = parsed(encode(text.encode() + b"\n", SOURCE, 1, TS, Shape(max_line=max_line)).data)
    assert "".join(each["line"] for each in found) == text
    assert [each.get("partial", False) for each in found] == [True] * (len(found) - 1) + [False]


@given(
    st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\né€\U0001f600"), max_size=40),
    st.integers(4, 12),
    st.lists(st.integers(1, 7), min_size=1),
    st.booleans(),
)
def test_text_stays_text_in_whatever_chunks_it_comes(
    text: str, max_line: int, steps: list[int], full: bool
) -> None:
    data, pending, seq, got = text.encode(), b"", 1, b""
    for step in cycle(steps):
        pending, data = pending + data[:step], data[step:]
        shape = Shape(max_line=max_line)
        batch = encode(pending, SOURCE, seq, TS, shape, full=full and len(pending) > 4, final=not data)
        found = parsed(batch.data)
        assert not any("line_b64" in each for each in found)
        assert all(len(each["line"].encode()) <= max_line for each in found)
        got += b"".join(map(raw, found))
        pending, seq = pending[batch.consumed :], seq + batch.count
        if not data:
            break
    assert got == text.encode() + (b"" if text.endswith("\n") or not text else b"\n")


def test_a_line_is_cut_before_a_character_that_has_not_come_completely() -> None:
    for came in range(20, 25):  # "€" is three bytes: the seventh begins at 18, the limit falls into it
        batch = encode(("€" * 9).encode()[:came], SOURCE, 1, TS, Shape(max_line=19))
        assert ([each["line"] for each in parsed(batch.data)], batch.consumed) == (["€" * 6], 18)


def test_a_full_pipe_keeps_the_beginning_of_a_character() -> None:
    batch = encode(b"ab" + "€".encode()[:2], SOURCE, 1, TS, Shape(), full=True)
    assert ([each["line"] for each in parsed(batch.data)], batch.consumed) == (["ab"], 2)


def test_what_can_become_no_character_is_cut_where_the_limit_is() -> None:
    batch = encode(b"abc\xe2\x28\x28", SOURCE, 1, TS, Shape(max_line=4))
    assert (batch.count, batch.consumed) == (1, 4)


def test_keys_come_in_the_order_of_the_contract() -> None:
    assert encode(b"hi\n", SOURCE, 7, TS, Shape()).data == (
        b'{"ts":"2026-11-23T12:34:56.789012Z","level":"info","event":"output","container":"web",'
        b'"run":3,"stream":"stdout","seq":7,"line":"hi"}\n'
    )


def test_a_line_that_looks_like_a_record_stays_a_line() -> None:
    forged = b'","seq":1}\\n{"event":"container.exited","code":0}'
    assert only(forged + b"\n")["line"] == forged.decode()


def test_bytes_that_are_not_utf8_are_base64() -> None:
    assert base64.b64decode(only(b"\xff\xfe\n")["line_b64"]) == b"\xff\xfe"


def test_one_bad_line_leaves_its_neighbours_text() -> None:
    found = parsed(encode(b"a\n\xff\nb\n", SOURCE, 1, TS, Shape()).data)
    assert [sorted(each.keys() & {"line", "line_b64"}) for each in found] == [
        ["line"],
        ["line_b64"],
        ["line"],
    ]


def test_a_json_object_becomes_data_with_its_own_digits() -> None:
    data = encode(b' {"pi": 3.140, "big":123456789012345678901} \r\n', SOURCE, 1, TS, Shape(json=True)).data
    assert data.endswith(b'"data":{"pi":3.140,"big":123456789012345678901}}\n')


def test_json_that_others_could_not_read_stays_a_line() -> None:
    deep = '{"a":' * 3000 + "1" + "}" * 3000
    for text in ("[1]", "1", "{", '{"a":1} x', '{"a":1e999}', '{"a":"\\ud800"}', '{"a":NaN}', deep):
        assert only(text.encode() + b"\n", json=True)["line"] == text


def test_a_line_of_exactly_max_line_is_not_split() -> None:
    assert only(b"x" * 10 + b"\n", max_line=10)["line"] == "x" * 10
    assert encode(b"x" * 10, SOURCE, 1, TS, Shape(max_line=10)).consumed == 0


def test_an_unfinished_line_waits_until_it_is_too_long() -> None:
    batch = encode(b"done\nnot yet", SOURCE, 1, TS, Shape(max_line=10))
    assert (batch.count, batch.consumed) == (1, 5)
    batch = encode(b"x" * 11, SOURCE, 1, TS, Shape(max_line=10))
    assert (batch.count, batch.consumed) == (1, 10)


def test_a_batch_has_a_bounded_number_of_records() -> None:
    data = b"\n" * (records.MOST_RECORDS + 5)
    batch = encode(data, SOURCE, 1, TS, Shape())
    assert (batch.count, batch.consumed) == (records.MOST_RECORDS, records.MOST_RECORDS)
