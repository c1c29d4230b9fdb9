"""The routes under /v1: what they answer, and that whatever is wrong becomes a code and a sentence."""

import json
import os
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from supervisor.api import openapi, schema
from supervisor.api.call import Call
from supervisor.api.handlers import ROUTES
from supervisor.errors import Problem, RequestError
from supervisor.logs.wanted import EVERYTHING, Wanted


def get(served: Any, target: str) -> Any:
    return Call(served.folder, "GET", target, timeout=60).value()


def post(served: Any, target: str, body: object = None) -> Any:
    return Call(served.folder, "POST", target, body, timeout=60).value()


def lines(served: Any, target: str) -> list[bytes]:
    return list(Call(served.folder, "GET", target, timeout=60).lines())


def refused(served: Any, method: str, target: str, body: object = None) -> tuple[str, str]:
    with pytest.raises(RequestError) as caught:
        Call(served.folder, method, target, body, timeout=60).value()
    return caught.value.code, caught.value.detail


def test_info_says_which_supervisor_this_is(served: Any) -> None:
    assert get(served, "/v1/info")["runtime_dir"] == served.folder


def test_containers_are_listed_in_the_fleets_order(served: Any) -> None:
    assert [each["name"] for each in get(served, "/v1/containers")] == ["web", "db"]


def test_containers_can_be_picked_by_name(served: Any) -> None:
    assert [each["name"] for each in get(served, "/v1/containers?name=db&name=web")] == ["db", "web"]


def test_a_container_is_shown_with_everything_known(served: Any) -> None:
    assert get(served, "/v1/containers/web")["config"] == {"command": ["/bin/true"]}


@pytest.mark.parametrize("act", ["start", "stop", "restart"])
def test_an_act_is_done_by_the_operator_and_answers_with_the_state(served: Any, act: str) -> None:
    assert post(served, f"/v1/containers/web/{act}")[0]["name"] == "web"
    assert served.fleet.calls == [(act, "web")]


def test_kill_sends_the_signal_that_was_asked_for(served: Any) -> None:
    post(served, "/v1/containers/web/kill", {"signal": "SIGHUP"})
    assert served.fleet.calls == [("kill", "web", "SIGHUP")]


def test_kill_without_a_body_sends_sigterm(served: Any) -> None:
    post(served, "/v1/containers/web/kill")
    assert served.fleet.calls == [("kill", "web", "SIGTERM")]


def test_stopping_the_supervisor_is_answered_before_it_happens(served: Any) -> None:
    assert post(served, "/v1/stop")["pid"] > 0
    assert served.stopped.wait(60)


def test_logs_are_passed_on_as_they_stand(served: Any) -> None:
    assert (
        b"".join(lines(served, "/v1/logs?name=web&n=5&events=1"))
        == b'{"line":"1"}\n{"line":"2"}\n{"line":"3"}\n'
    )
    (asked,) = served.records.asked
    assert asked == asked | {"names": ("web",), "last": 5, "follow": False, "output": True, "events": True}


def test_the_logs_of_a_service_are_those_of_its_replicas(served: Any) -> None:
    lines(served, "/v1/logs?name=service&name=gone")
    assert served.records.asked[0]["names"] == ("web", "db", "gone")


def test_events_are_the_supervisors_own_records(served: Any) -> None:
    lines(served, "/v1/events")
    (asked,) = served.records.asked
    assert asked == asked | {"names": (), "last": None, "output": False, "events": True, "wanted": EVERYTHING}


def test_records_may_be_asked_for_by_what_they_hold(served: Any) -> None:
    filters = "since=2026-11-24T00:00Z&until=@1800000000&level=warn&stream=stderr&run=3&field=a.b=c&field=n=1"
    lines(served, f"/v1/logs?{filters}&reverse=1")
    (asked,) = served.records.asked
    assert asked["reverse"]
    assert asked["wanted"] == Wanted(
        since="2026-11-24T00:00:00.000000Z",
        until="2027-01-15T08:00:00.000000Z",
        level="warning",
        stream="stderr",
        run=3,
        fields=(("a.b", "c"), ("n", "1")),
    )


@pytest.mark.parametrize(
    "query",
    [
        "since=teatime",
        "level=loud",
        "stream=both",
        "run=x",
        "field=x",
        "grep=x",
        "follow=1&reverse=1",
        "follow=1&until=now",
    ],
)
def test_what_cannot_be_asked_of_records_is_invalid(served: Any, query: str) -> None:
    """A regular expression is among it: the caller applies it."""
    assert refused(served, "GET", f"/v1/logs?{query}")[0] == "invalid"


def test_an_error_before_the_first_record_is_an_answer_with_its_code(served: Any) -> None:
    served.records.chunks.clear()
    served.records.error = RequestError("not-found", "no log")
    assert refused(served, "GET", "/v1/logs?name=old") == ("not-found", "no log")


def test_an_error_half_way_cuts_the_stream_so_that_the_caller_can_tell(served: Any) -> None:
    served.records.error = OSError(5, "disk")
    assert refused(served, "GET", "/v1/logs")[0] == "unavailable"
    assert [type(error) for error in served.errors] == [OSError]


def test_a_follower_is_refused_at_once_for_a_name_that_does_not_exist(served: Any) -> None:
    assert refused(served, "GET", "/v1/logs?name=nope&follow=1")[0] == "not-found"


@pytest.mark.parametrize(("code", "status"), sorted(schema.STATUS.items()))
def test_every_code_has_its_status_and_comes_back_as_it_was(served: Any, code: str, status: int) -> None:
    served.fleet.refuse["start web"] = RequestError(code, "because")
    call = Call(served.folder, "POST", "/v1/containers/web/start", timeout=60)
    assert call.sock.recv(12) == f"HTTP/1.1 {status}".encode()
    call.sock.close()
    assert refused(served, "POST", "/v1/containers/web/start") == (code, "because")


def test_a_bug_is_reported_here_and_named_there_without_a_traceback(served: Any) -> None:
    served.fleet.refuse["start web"] = ZeroDivisionError("secret")
    assert refused(served, "POST", "/v1/containers/web/start") == (
        "failed",
        "internal error: ZeroDivisionError",
    )
    assert [type(error) for error in served.errors] == [ZeroDivisionError]


@pytest.mark.parametrize(
    "target",
    [
        "/v1/containers?nmae=web",
        "/v1/info?x=1",
        "/v1/logs?n=-1",
        "/v1/logs?n=ten",
        "/v1/logs?n=1&n=2",
        "/v1/logs?follow=maybe",
        "/v1/events?name=web",
    ],
)
def test_a_query_is_decoded_strictly(served: Any, target: str) -> None:
    assert refused(served, "GET", target)[0] == "invalid"
    assert served.records.asked == []


@pytest.mark.parametrize("body", [{"signal": 9}, {"sig": "SIGTERM"}, [], "SIGTERM", {"signal": "SIGNONE"}])
def test_a_body_is_decoded_strictly(served: Any, body: object) -> None:
    assert refused(served, "POST", "/v1/containers/web/kill", body)[0] == "invalid"
    assert served.fleet.calls == []


def test_a_body_that_nothing_is_wanted_of_must_be_empty(served: Any) -> None:
    assert refused(served, "POST", "/v1/stop", {"now": True})[0] == "invalid"
    assert not served.stopped.is_set()


def test_a_body_over_the_limit_is_refused(served: Any) -> None:
    body = {"signal": "S" * 70_000}
    assert refused(served, "POST", "/v1/containers/web/kill", body) == (
        "invalid",
        "body: larger than 65536 bytes",
    )


def test_the_history_comes_with_each_runs_last_lines(served: Any) -> None:
    told = get(served, "/v1/containers/web/why?n=2")
    assert [run["output"][0]["line"] for run in told["runs"]] == ["web 3 None", "web 2 None"]
    assert refused(served, "GET", "/v1/containers/nobody/why")[0] == "not-found"
    assert refused(served, "GET", "/v1/containers/web/why?n=-1")[0] == "invalid"


@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e%2fetc", "WEB", "web%00", "a" * 80, "-x", "web.", "%F0%9F%98%80", "", "a%2Fb", "web%2fwhy"],
)
def test_a_name_that_no_container_can_have_is_not_found(served: Any, name: str) -> None:
    said = ("not-found", f'no container is called "{unquote(name)}"')
    assert refused(served, "POST", f"/v1/containers/{name}/start") == said
    assert refused(served, "GET", f"/v1/containers/{name}") == said
    assert refused(served, "GET", f"/v1/containers?name=web&name={name}") == said
    assert refused(served, "GET", f"/v1/logs?name={name}") == said
    assert served.fleet.calls == served.records.asked == []


def test_only_the_fixed_paths_exist(served: Any) -> None:
    for target in ("/", "/v1", "/v1/fleet/shutdown", "/v1/containers/web/__class__"):
        assert refused(served, "GET", target)[0] == "not-found"


def test_a_wrong_method_is_refused(served: Any) -> None:
    assert refused(served, "GET", "/v1/stop")[0] == "invalid"
    assert refused(served, "DELETE", "/v1/containers/web")[0] == "invalid"


def test_a_head_of_a_stream_ends(served: Any) -> None:
    with (
        Call(served.folder, "HEAD", "/v1/logs?follow=1", timeout=60).sock as sock,
        sock.makefile("rb") as answer,
    ):
        assert answer.read().startswith(b"HTTP/1.1 200")


def test_the_description_has_every_route_and_no_other(served: Any) -> None:
    document = get(served, "/v1/openapi.json")
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert described == {(method, path) for method, path, _ in ROUTES}
    assert set(openapi.SHAPES) == {path for _, path, _ in ROUTES}


def test_the_description_refers_only_to_what_it_defines(served: Any) -> None:
    document = get(served, "/v1/openapi.json")
    text = json.dumps(document)
    wanted = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert wanted
    assert wanted <= set(document["components"]["schemas"])


def test_answers_have_the_described_shape(served: Any) -> None:
    msgspec.convert(get(served, "/v1/containers"), list[schema.Container])
    msgspec.convert(get(served, "/v1/info"), schema.Info)


def test_a_plan_is_shown_and_a_reload_done_for_who_asks(served: Any) -> None:
    assert msgspec.convert(get(served, "/v1/plan"), schema.Plan).added == ["web.3"]
    assert served.reload.by == []
    assert post(served, "/v1/reload")["failed"] == {}
    assert [by.uid for by in served.reload.by] == [os.getuid()]
    assert refused(served, "POST", "/v1/reload", {"path": "/etc"})[0] == "invalid"


def test_problems_of_the_files_come_one_by_one(served: Any) -> None:
    problems = (Problem("a.toml", 3, "key", "text"),)
    served.reload.error = RequestError("invalid", "a.toml:3: key: text", problems)
    with pytest.raises(RequestError) as caught:
        get(served, "/v1/plan")
    assert (caught.value.code, caught.value.problems) == ("invalid", problems)
