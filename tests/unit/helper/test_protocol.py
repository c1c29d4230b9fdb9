"""The helper's protocol: any bytes decode to a value that names only declared things, or to ProtocolError."""

import contextlib
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.errors import ProtocolError
from supervisor.helper import asked, protocol
from supervisor.helper.asked import Visit
from supervisor.helper.protocol import Bind, Declared, Launch, Report, Request

NAMES = st.text("abcdefgh0123456789_-.", min_size=1, max_size=63)
RUNS = st.integers(0, 2**53 - 1)
REQUESTS = st.one_of(
    st.builds(lambda name, run: Request("launch", name, run), NAMES, RUNS),
    st.builds(
        lambda name, run, number: Request("signal", name, run, number), NAMES, RUNS, st.integers(0, 64)
    ),
    st.builds(lambda name, run: Request("kill", name, run), NAMES, RUNS),
    st.builds(lambda name: Request("remove", name), NAMES),
    st.builds(lambda state: Request("notify", state=state), st.sampled_from(sorted(protocol.NOTIFY_STATES))),
    st.builds(lambda apply: Request("reload", apply=apply), st.booleans()),
    st.just(Request("exit")),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)


@given(REQUESTS)
def test_a_request_survives_the_way_to_the_helper(request_: Request) -> None:
    assert protocol.decode_request(protocol.encode_request(request_)) == request_


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_a_protocol_error(data: bytes) -> None:
    try:
        request = protocol.decode_request(data)
    except ProtocolError:
        return
    assert request.do in protocol.REQUESTS


@pytest.mark.parametrize("name", ["a" * 81, "a" * 4000, "é", "\ud800"])
def test_a_name_that_nothing_can_have_is_a_protocol_error(name: str) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_request(json.dumps({"do": "remove", "name": name}).encode())


@pytest.mark.parametrize("character", ["a", "é", "😀"])
def test_a_report_fits_into_a_message_however_long_what_it_tells(character: str) -> None:
    report = Report("refused", "n" * 63, 1, stage="s" * 64, path=character * 2000, hint=character * 2000)
    data = protocol.encode_report(report)
    assert len(data) <= protocol.MAX
    assert protocol.decode_report(data).path.endswith(character * 200)


@given(st.dictionaries(st.sampled_from(["do", "name", "run", "signal", "state", "apply", "path"]), JSON))
def test_any_object_is_a_sound_request_or_a_protocol_error(fields: dict[str, object]) -> None:
    try:
        request = protocol.decode_request(json.dumps(fields).encode())
    except ProtocolError:
        return
    assert fields.keys() == protocol.REQUESTS[request.do].keys() | {"do"}
    assert type(request.run) is int
    assert type(request.name) is str


@pytest.mark.parametrize(
    "data",
    [
        b'{"do":"launch","name":"web","run":true}',
        b'{"do":"launch","name":"web","run":-1}',
        b'{"do":"launch","name":"web","run":1.0}',
        b'{"do":"launch","name":"web","run":9007199254740992}',
        b'{"do":"launch","name":["web"],"run":1}',
        b'{"do":"launch","name":"web","run":1,"argv":["/bin/sh"]}',
        b'{"do":"signal","name":"web","run":1,"signal":65}',
        b'{"do":"notify","state":"MAINPID=1"}',
        b'{"do":["launch"]}',
        b'{"do":"__class__"}',
        b"[" * 2000,
        b'{"do":"exit"}' + b" " * protocol.MAX,
        b"\xff\xfe",
        b"",
    ],
)
def test_a_request_that_is_not_exactly_one_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.decode_request(data)


@given(
    st.builds(
        Report,
        st.sampled_from(
            ["started", "refused", "ended", "removed", "denied", "told", "asked", "visited", "streams"]
        ),
        name=NAMES,
        run=RUNS,
        pid=st.integers(0, 2**22),
        launch_ms=st.floats(0, 1e6),
        adopted=st.booleans(),
        stage=st.text(max_size=20),
        errno=st.integers(0, 133),
        path=st.text(max_size=400),
        code=st.integers(-1, 255),
        signal=st.integers(-1, 64),
    )
)
def test_a_report_survives_the_way_to_the_daemon(report: Report) -> None:
    assert protocol.decode_report(protocol.encode_report(report)) == report


def test_a_report_with_an_endless_path_still_fits_one_message() -> None:
    data = protocol.encode_report(Report("refused", "web", 1, path="/é" * 5000, hint="h" * 5000))
    assert len(data) <= protocol.MAX
    assert protocol.decode_report(data).name == "web"


@given(st.binary(max_size=100) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_a_report_or_a_protocol_error(data: bytes) -> None:
    try:
        report = protocol.decode_report(data)
    except ProtocolError:
        return
    assert isinstance(report.what, str)


def test_what_root_declares_arrives_as_it_was() -> None:
    launch = Launch(
        "web", ("/bin/true", "-x"), (("A", "1"),), "host", "overlay", "0:0", ("adm",), "/", "web", True,
        ("mount", "pid"), (Bind("/srv", "/srv", ("ro",)),), ("CHOWN",), True, (("nofile", 64, 128),), (("pids.max", "7"),),
        ("/dev/fuse",), 524288, "/var/lib/x", 0, (("boottime", -5),),
    )  # fmt: skip
    declared = Declared("/run/x", 65534, 65534, "/usr/bin/python3", 5, -1, (6, 7), (launch,), (("AAAA",),))
    assert protocol.decode_declared(protocol.encode_declared(declared)) == declared


# ── operator → helper ──────────────────────────────────────────────────────────────────

ARGUMENTS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)
VISITS = st.builds(
    Visit,
    NAMES,
    st.tuples(ARGUMENTS.filter(bool), ARGUMENTS),
    st.booleans(),
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.sampled_from(["", "xterm-256color"]),
)
VISIT = {"name": "web", "argv": ["sh"], "tty": True, "rows": 1, "cols": 2, "term": "vt100"}


@given(VISITS)
def test_a_visit_survives_the_way_to_the_helper(visit: Visit) -> None:
    assert asked.decode_visit(asked.encode_visit(visit)) == visit


def test_an_argument_that_is_no_text_survives_it_too() -> None:
    visit = Visit("web", ("cat", os.fsdecode(b"/tmp/\xff\xfe")))
    assert asked.decode_visit(asked.encode_visit(visit)) == visit


@given(st.binary(max_size=200))
def test_any_bytes_are_a_visit_or_a_protocol_error(data: bytes) -> None:
    with contextlib.suppress(ProtocolError):
        asked.decode_visit(data)


@given(st.fixed_dictionaries({}, optional={key: JSON | st.just(value) for key, value in VISIT.items()}), JSON)
def test_any_object_is_a_sound_visit_or_a_protocol_error(fields: dict[str, object], more: object) -> None:
    for candidate in (fields, VISIT | fields, VISIT | {"uid": more}):
        try:
            visit = asked.decode_visit(json.dumps(candidate).encode())
        except ProtocolError:
            continue
        assert candidate.keys() == VISIT.keys()
        assert visit.argv
        assert b"\0" not in b"".join(map(os.fsencode, visit.argv))
        assert 0 <= visit.rows < 65536 > visit.cols >= 0
        assert [type(value) for value in visit] == [str, tuple, bool, int, int, str]


@pytest.mark.parametrize(
    "wrong",
    [
        {"argv": []},
        {"argv": [""]},
        {"argv": ["a", "b\0c"]},
        {"argv": ["\ud800"]},
        {"argv": ["a", 1]},
        {"argv": "sh"},
        {"tty": 1},
        {"rows": True},
        {"rows": 65536},
        {"cols": -1},
        {"term": "x y"},
        {"term": "x" * 65},
        {"user": "0"},
        {"argv": ["x" * 65536]},
    ],
)
def test_a_visit_that_is_not_exactly_one_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        asked.decode_visit(json.dumps(VISIT | wrong).encode())
    assert asked.decode_visit(json.dumps(VISIT).encode()).argv == ("sh",)
