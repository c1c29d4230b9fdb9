"""Holds: whatever is asked of records, and however they lie in segments, the answer is that of asking each of them."""

from __future__ import annotations

import base64
import json
import os
import re
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervisor.logs import frames, query, segments, walk
from supervisor.logs.damage import Damages
from supervisor.logs.frames import FORMATS
from supervisor.logs.needles import needles
from supervisor.logs.records import Shape, Source, encode
from supervisor.logs.segment import SUFFIX
from supervisor.logs.sieve import Sieve
from supervisor.logs.stamp import file_stem, stamp
from supervisor.logs.wanted import LEVELS, Wanted

if TYPE_CHECKING:
    from tests.unit.logs.conftest import Rig

BEGAN = 1_700_000_000.0
WORDS = ("GET /", "error: disk", 'say "no"', "naïve\tK", "back\\slash", "timeout=5", "\u212aelvin", "")
DATA = (
    {"level": "warn", "http": {"status": 500, "path": "/a"}},
    {"http.status": 500, "ok": True},
    {"http": {"status": "500"}, "who": "caf\u00e9", "n": None, "x": 1.5},
    {"who": "a <b> name", "n": -12},
)
PATTERNS = (
    "error",
    "(?i)ERROR",
    "GET|timeout",
    "status",
    "na.ve",
    '"no"',
    "^$",
    r"\d$",
    "(?i)kelvin",
    "z{2,}",
    r"back\\slash",
    "x*",
)

texts = st.sampled_from(WORDS) | st.text(max_size=12).filter(lambda text: "\n" not in text)
lines = (
    texts.map(lambda text: text.encode(errors="ignore"))
    | st.sampled_from(DATA).map(lambda data: json.dumps(data).encode())
    | st.sampled_from(DATA).map(lambda data: json.dumps(data, ensure_ascii=False).encode())
    | st.binary(max_size=8).filter(lambda raw: b"\n" not in raw)
)
#: Line, container, stream, run, microseconds since the record before.
printed = st.tuples(
    lines,
    st.sampled_from("ab"),
    st.sampled_from(["stdout", "stderr"]),
    st.integers(1, 2),
    st.sampled_from([0, 1, 1_000_000]),
)
moments = st.none() | st.integers(-1, 60).map(lambda seconds: stamp(BEGAN + seconds))
questions = st.builds(
    Wanted,
    about=st.none(),
    since=moments,
    until=moments,
    stream=st.none() | st.sampled_from(["stdout", "stderr"]),
    level=st.none() | st.sampled_from(LEVELS),
    grep=st.none() | st.sampled_from(PATTERNS),
    run=st.none() | st.integers(1, 3),
    fields=st.lists(
        st.sampled_from(
            [
                ("http.status", "500"),
                ("ok", "true"),
                ("n", "null"),
                ("who", "café"),
                ("x", "1.5"),
                ("who", "a <b> name"),
                ("n", "-12"),
            ]
        ),
        max_size=2,
    ).map(tuple),
)


class Layout(NamedTuple):
    """How records lie: the size of segments, how closed ones are compressed, in what blocks they are read."""

    segment: int
    forms: list[int]
    block: int


layouts = st.builds(
    Layout,
    st.sampled_from([400, 1500, 1 << 20]),
    st.lists(st.integers(0, 3), min_size=1, max_size=4),
    st.sampled_from([64, 300, 1 << 16]),
)


def plain(printed: bytes, wanted: Wanted) -> bool:
    """The same question, asked of one record in the plainest way."""
    record = json.loads(printed)
    ts = record["ts"]
    if "data" in record:
        text = printed.partition(b'"data":')[2][:-1].decode()
    else:
        raw = base64.b64decode(record["line_b64"]) if "line_b64" in record else record["line"].encode()
        text = raw.decode(errors="backslashreplace")
    return (
        (wanted.since is None or ts >= wanted.since)
        and (wanted.until is None or ts < wanted.until)
        and wanted.stream in (None, record["stream"])
        and (wanted.level is None or LEVELS.index(record["level"]) >= LEVELS.index(wanted.level))
        and wanted.run in (None, record["run"])
        and (wanted.grep is None or re.search(wanted.grep, text) is not None)
        and all(holds(record.get("data"), key, value) for key, value in wanted.fields)
    )


def holds(data: Any, key: str, value: str) -> bool:
    found = [data[key]] if data and key in data else []
    first, _, rest = key.partition(".")
    if data and isinstance(data.get(first), dict) and rest in data[first]:
        found.append(data[first][rest])
    return any(value == (each if isinstance(each, str) else json.dumps(each)) for each in found)


def write(rig: Rig, prints: list[Any], forms: list[int]) -> dict[str, list[bytes]]:
    """Records in folders, closed ones compressed as `forms` has it: 0 plain, 1 zst, 2 gz, 3 both plain and zst."""
    archive = rig.archive()
    moment, seqs = (
        BEGAN,
        dict.fromkeys(((n, s, r) for n in "ab" for s in ("stdout", "stderr") for r in (1, 2)), 0),
    )
    written: dict[str, list[bytes]] = {"a": [], "b": []}
    for line, name, stream, run, later in prints:
        moment += later / 1e6
        seqs[name, stream, run] += 1
        source = Source(name, run, stream)
        batch = encode(line + b"\n", source, seqs[name, stream, run], stamp(moment), Shape(json=True))
        archive.store(name).write(batch.data, stamp(moment))
        written[name] += batch.data.split(b"\n")[:-1]
    archive.close()
    paths = [f"{rig.root}/log/{name}/{stem}" for name in "ab" for stem in segments.closed(rig.log_dir, name)]
    for number, path in enumerate(paths):
        compress(path, forms[number % len(forms)])
    return written


def compress(path: str, form: int) -> None:
    if not form:
        return
    with open(path + SUFFIX, "rb") as file:
        whole = file.readlines()
    blocks = [b"".join(whole[at : at + 3]) for at in range(0, len(whole), 3)]
    chosen = FORMATS[form == 2]
    with open(path + chosen.suffix, "wb") as file:
        file.writelines(frames.pack(chosen, blocks))
    if form != 3:
        os.unlink(path + SUFFIX)


def merged(written: dict[str, list[bytes]]) -> list[bytes]:
    together = [(record, json.loads(record)) for name in "ab" for record in written[name]]
    return [record for record, _ in sorted(together, key=lambda pair: pair[1]["ts"])]


def flat(batches: Any) -> list[bytes]:
    return [record for batch in batches for record in batch]


@settings(deadline=None, max_examples=100)
@given(st.lists(printed, max_size=40), questions, layouts, st.integers(0, 12))
def test_a_question_has_the_answer_of_all_records_asked_one_by_one(
    make_rig: type[Rig], prints: list[Any], wanted: Wanted, layout: Layout, n: int
) -> None:
    with make_rig(segment=layout.segment) as rig, pytest.MonkeyPatch.context() as patch:
        patch.setattr(walk, "FIRST", layout.block)
        patch.setattr(query, "_LEAST", layout.block)
        expected = [record for record in merged(write(rig, prints, layout.forms)) if plain(record, wanted)]
        asked = query.sources(["a", "b"], wanted)
        for budget in (1, query.BUDGET):
            assert flat(query.History(rig.log_dir, asked, budget)) == expected
            assert flat(query.newest_first(rig.log_dir, asked, budget)) == expected[::-1]
        assert flat(query.tail(rig.log_dir, asked, n)) == expected[max(0, len(expected) - n) :]


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(PATTERNS) | st.text(alphabet='ab"\\(|)?*+.[]^$ik', max_size=8),
    st.text(alphabet='abikABIK"\\\u212a\u0130\n', max_size=8),
)
def test_no_record_is_missed_for_its_needle(pattern: str, text: str) -> None:
    try:
        with warnings.catch_warnings(action="ignore", category=FutureWarning):
            matches = re.search(pattern, text) is not None
    except re.error:
        return
    found = needles(pattern)
    if matches and found is not None:
        record = json.dumps({"line": text}, ensure_ascii=False).encode()
        record = record.lower() if found.lowered else record
        assert any(needle in record for needle in found.texts)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("timeout", (b"timeout",)),
        ("time(out|d out)", (b"time",)),
        ("(timed out|refused)!", (b"timed out", b"refused")),
        (r"(GET|POST) /api/\d+", (b" /api/",)),
        (r"status=\d+ error", (b"status=",)),
        (r"^panic$", (b"panic",)),
        ("caf\u00e9", "caf\u00e9".encode()),
        ("(?:abc)+x?", (b"abc",)),
        ("(abc)*", None),
        ("[abc]", None),
        ("", None),
        ('"', None),
    ],
)
def test_a_needle_is_the_longest_text_that_must_be_there(
    pattern: str, expected: tuple[bytes, ...] | bytes | None
) -> None:
    found = needles(pattern)
    assert (found and found.texts) == ((expected,) if isinstance(expected, bytes) else expected)


def test_where_case_does_not_matter_a_needle_has_no_letter_with_relatives_abroad() -> None:
    """U+212A KELVIN SIGN is a k to re, and no k in UTF-8."""
    found = needles("(?i)KILOMETER")
    assert found
    assert (found.texts, found.lowered) == ((b"lometer",), True)


def test_no_more_is_read_than_what_is_asked_for(rig: Rig) -> None:
    """Of a segment of a terabyte, which would take hours, the end; of older ones, nothing: they are not even readable."""
    records = [json.dumps({"ts": stamp(BEGAN + n)}, separators=(",", ":")).encode() + b"\n" for n in range(9)]
    with open(f"{rig.root}/log/a/current.jsonl", "wb") as file:
        file.write(records[0])
        file.seek(1 << 40)
        file.write(b"\n" + b"".join(records[1:]))
    with open(f"{rig.root}/log/a/{file_stem(stamp(BEGAN - 9))}.jsonl.zst", "wb") as file:
        file.write(b"damaged")
    for wanted, n in ((Wanted(), 3), (Wanted(grep="ts", since=stamp(BEGAN + 1)), 3)):
        found = flat(query.tail(rig.log_dir, query.sources(["a"], wanted), n))
        assert [record + b"\n" for record in found] == records[-n:]
    first = next(iter(query.newest_first(rig.log_dir, query.sources(["a"]))))
    assert first[0] + b"\n" == records[-1]


def test_a_search_since_then_opens_no_segment_that_ended_before(rig: Rig) -> None:
    for n in (0, 10, 20):
        compress_alone(f"{rig.root}/log/a/{file_stem(stamp(BEGAN + n))}", b"damaged" if n == 0 else None, n)
    asked = query.sources(["a"], Wanted(since=stamp(BEGAN + 12)))
    assert [json.loads(record)["ts"] for record in flat(query.History(rig.log_dir, asked))] == [
        stamp(BEGAN + 20)
    ]
    told: list[str] = []
    damages = Damages(lambda file, _: told.append(file))
    assert flat(query.History(rig.log_dir, asked, damages=damages))
    assert told == []
    flat(query.History(rig.log_dir, query.sources(["a"]), damages=damages))
    assert told == [f"a/{file_stem(stamp(BEGAN))}.jsonl.zst"]


def compress_alone(path: str, content: bytes | None, n: int) -> None:
    record = json.dumps({"ts": stamp(BEGAN + n)}, separators=(",", ":")).encode() + b"\n"
    with open(path + FORMATS[0].suffix, "wb") as file:
        file.write(content or b"".join(frames.pack(FORMATS[0], [record])))


def test_events_are_asked_by_their_own_fields_and_whom_they_are_about() -> None:
    ended = b'{"ts":"2026-11-24T03:00:00.000000Z","level":"warning","event":"container.exited","container":"web","run":2,"code":1,"cpu":{"n":3}}\n'
    for wanted, kept in [
        (Wanted(fields=(("cpu.n", "3"), ("code", "1"))), True),
        (Wanted(fields=(("code", "2"),)), False),
        (Wanted(grep="exited.*web"), True),
        (Wanted(level="warning", run=2), True),
        (Wanted(level="error"), False),
        (Wanted(about=frozenset({"web"})), True),
        (Wanted(about=frozenset({"db"})), False),
        (Wanted(stream="stdout"), False),
    ]:
        assert bool(Sieve(wanted).keep(ended)) == kept, wanted


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 99)), max_size=9), max_size=4), st.data()
)
def test_merging_is_by_time_then_folder_then_order(
    folders: list[list[tuple[int, int]]], data: st.DataObject
) -> None:
    """Whatever lists they come in; a clock that went back changes no order inside a folder."""
    expected, lists = [], []
    for folder in folders:
        records = [b'{"ts":"%27d"}%d' % each for each in folder]
        cuts = sorted(data.draw(st.lists(st.integers(0, len(records)), max_size=3)))
        lists.append([records[a:b] for a, b in zip([0, *cuts], [*cuts, len(records)], strict=True)])
        latest = 0
        for (at, _), record in zip(folder, records, strict=True):
            latest = max(latest, at)
            expected.append((latest, record))
    found = flat(query.merged([iter(each) for each in lists]))
    assert found == [record for _, record in sorted(expected, key=lambda pair: pair[0])]
