"""The routes under /v1: plain HTTP + JSON, and NDJSON for records.

Laws: only the routes of ROUTES exist; a name is checked by its pattern before any other
room sees it; a body holds at most 64 KiB and must arrive within seconds; every change is passed
on with who asked for it; whatever goes wrong becomes {"error": code, "detail": text}, never a traceback to the caller.
"""

import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import trio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from supervisor.api import filtering, openapi, schema
from supervisor.api.limits import BODY, BODY_SECONDS
from supervisor.api.ports import Fleet, Records, Reload
from supervisor.api.streaming import NdJson
from supervisor.core.operator import Operator
from supervisor.errors import Problem, RequestError

T = TypeVar("T")


def to_stderr(error: BaseException) -> None:
    traceback.print_exception(error)


@dataclass(frozen=True)
class Api:
    """What the handlers act on.

    `stop` begins the end of the whole supervisor, for whoever asks, and returns at once. When `closing` is set,
    streams end. `report` hears of errors that are ours. `sinks` are schema.Sink's.
    """

    fleet: Fleet
    records: Records
    reload: Reload
    info: schema.Info
    stop: Callable[[Operator], None]
    closing: trio.Event = field(default_factory=trio.Event)
    report: Callable[[BaseException], None] = to_stderr
    sinks: Callable[[], list[dict[str, Any]]] = list


Endpoint = Callable[[Api, Request], Awaitable[Response]]


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _failure(
    code: str,
    detail: str,
    status: int | None = None,
    headers: dict[str, str] | None = None,
    problems: tuple[Problem, ...] = (),
) -> Response:
    more = {"problems": [each._asdict() for each in problems]} if problems else {}
    answer = _json({"error": code, "detail": detail, **more}, status or schema.STATUS.get(code, 500))
    answer.headers.update(headers or {})
    return answer


async def _body(request: Request, kind: type[T]) -> T:
    data = bytearray()
    too_large = RequestError("invalid", f"body: larger than {BODY} bytes")
    if int(request.headers.get("content-length", 0)) > BODY:  # h11 lets nothing but digits pass
        raise too_large
    try:
        with trio.fail_after(BODY_SECONDS):
            async with aclosing(request.stream()) as chunks:
                async for chunk in chunks:
                    data += chunk
                    if len(data) > BODY:
                        raise too_large
    except trio.TooSlowError:
        raise RequestError("invalid", f"body: not complete after {BODY_SECONDS:g} s") from None
    return schema.decode(bytes(data), kind)


def _query(request: Request, kind: type[T]) -> T:
    return schema.query(request.query_params.multi_items(), kind)


def _operator(request: Request) -> Operator:
    """Who asks, by the kernel's word: see operators.py."""
    operator: Operator = request.scope["operator"]
    return operator


def _name(request: Request) -> str:
    return schema.name(request.path_params["name"].replace("%2F", "/"))  # as connection.py leaves them


# ── what can be asked ──────────────────────────────────────────────────────────────────


async def info(api: Api, request: Request) -> Response:
    """Which supervisor this is."""
    _query(request, schema.Nothing)
    return _json(api.info)


async def containers(api: Api, request: Request) -> Response:
    """The state of all containers, or of those named."""
    return _json(api.fleet.status(_query(request, schema.Names).name))


async def container(api: Api, request: Request) -> Response:
    """Everything known about one container."""
    _query(request, schema.Nothing)
    return _json(api.fleet.inspect(_name(request)))


async def why(api: Api, request: Request) -> Response:
    """How and why the runs of a container began and ended, with their last lines."""
    asked = _query(request, schema.WhyQuery)
    return _json(told(api.fleet, api.records, _name(request), asked.n))


def told(fleet: Fleet, records: Records, name: str, runs: int | None) -> dict[str, Any]:
    """The history of a container's newest runs, with their last lines."""
    history = fleet.why(name, runs)
    for run in history["runs"]:
        run["output"] = records.last_words(history["name"], run["run"], run["ended_at"])
    return history


async def start(api: Api, request: Request) -> Response:
    """Start a container; answers when that is done, with its state."""
    return await _act(api, request, api.fleet.start)


async def stop(api: Api, request: Request) -> Response:
    """Stop a container; answers when nothing of it runs."""
    return await _act(api, request, api.fleet.stop)


async def restart(api: Api, request: Request) -> Response:
    """Stop and start a container."""
    return await _act(api, request, api.fleet.restart)


async def _act(api: Api, request: Request, act: Callable[[str, Operator], Awaitable[None]]) -> Response:
    name = _name(request)
    await _body(request, schema.Nothing)
    await act(name, _operator(request))
    return _json(api.fleet.status((name,)))


async def kill(api: Api, request: Request) -> Response:
    """Send a signal to a container's service."""
    name = _name(request)
    signal = schema.signal_name((await _body(request, schema.Kill)).signal)
    await api.fleet.kill(name, signal, _operator(request))
    return _json(api.fleet.status((name,)))


async def stop_all(api: Api, request: Request) -> Response:
    """Stop the whole supervisor; answers that it has begun."""
    await _body(request, schema.Nothing)
    api.stop(_operator(request))
    return _json(schema.Stopping(api.info.pid), 202)


async def plan(api: Api, request: Request) -> Response:
    """What a reload would change now: root's files are read, and nothing is changed."""
    _query(request, schema.Nothing)
    return _json(await api.reload.plan())


async def reload(api: Api, request: Request) -> Response:
    """Read root's files again and do what they change; answers when that is done."""
    await _body(request, schema.Nothing)
    return _json(await api.reload.reload(_operator(request)))


async def logs(api: Api, request: Request) -> Response:
    """The containers' output, merged in time order."""
    asked = _query(request, schema.LogsQuery)
    filters = filtering.wanted(asked)
    names = _members(api, asked.name, strict=asked.follow)
    chunks = api.records.read(
        names,
        last=asked.n,
        follow=asked.follow,
        output=True,
        events=asked.events,
        reverse=asked.reverse,
        wanted=filters,
    )
    return await _stream(api, chunks, follow=asked.follow)


def _members(api: Api, names: list[str], *, strict: bool) -> list[str]:
    """The names with those of services replaced by their replicas'.

    What is no container any more may have left a log; only a follower must name what is there,
    for its headers go out before a record is read (see _stream).
    """
    found: list[str] = []
    for name in names:
        try:
            found += [each["name"] for each in api.fleet.status((name,))]
        except RequestError:
            if strict:
                raise
            found.append(name)
    return found


async def events(api: Api, request: Request) -> Response:
    """The supervisor's own records."""
    asked = _query(request, schema.EventsQuery)
    chunks = api.records.read(
        (),
        last=asked.n,
        follow=asked.follow,
        output=False,
        events=True,
        reverse=asked.reverse,
        wanted=filtering.wanted(asked),
    )
    return await _stream(api, chunks, follow=asked.follow)


async def _stream(api: Api, chunks: AsyncGenerator[bytes], *, follow: bool) -> Response:
    # The first chunk is awaited before the answer begins, so that an unknown name still becomes
    # a 404. A follower may have nothing to read yet: it gets its headers at once.
    first = b"" if follow else await anext(chunks, b"")
    return NdJson(chunks, first, api.closing, api.report)


async def ship(api: Api, request: Request) -> Response:
    """How far each sink has come with shipping records."""
    _query(request, schema.Nothing)
    return _json(api.sinks())


async def describe(api: Api, request: Request) -> Response:
    """This API, as OpenAPI 3.1 has it."""
    _query(request, schema.Nothing)
    return _json(openapi.document([(method, path, act) for method, path, act in ROUTES], api.info.version))


ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/v1/info", info),
    ("GET", "/v1/containers", containers),
    ("GET", "/v1/containers/{name}", container),
    ("GET", "/v1/containers/{name}/why", why),
    ("POST", "/v1/containers/{name}/start", start),
    ("POST", "/v1/containers/{name}/stop", stop),
    ("POST", "/v1/containers/{name}/restart", restart),
    ("POST", "/v1/containers/{name}/kill", kill),
    ("POST", "/v1/stop", stop_all),
    ("GET", "/v1/plan", plan),
    ("POST", "/v1/reload", reload),
    ("GET", "/v1/logs", logs),
    ("GET", "/v1/events", events),
    ("GET", "/v1/ship", ship),
    ("GET", "/v1/openapi.json", describe),
)


# ── how it is answered ─────────────────────────────────────────────────────────────────


def _answered(api: Api, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint with every error turned into an answer: one crash boundary a request."""

    async def answer(request: Request) -> Response:
        try:
            return await endpoint(api, request)
        except RequestError as error:
            return _failure(error.code, error.detail, problems=error.problems)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except Exception as error:  # noqa: BLE001
            # A bug in one request must not end supervision.
            api.report(error)
            return _failure("failed", f"internal error: {type(error).__name__}", 500)

    return answer


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such path, or no such method on it."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    nameless = f"{request.scope['path']}/".startswith("/v1/containers//")
    code, detail = {
        404: ("not-found", 'no container is called ""' if nameless else "no such path: see /v1/openapi.json"),
        405: ("invalid", "this path does not take that method: see /v1/openapi.json"),
    }.get(status, ("failed", "the request could not be answered"))
    return _failure(code, detail, status, headers)


def application(api: Api) -> Starlette:
    """The ASGI application."""
    routes = [Route(path, _answered(api, act), methods=[method]) for method, path, act in ROUTES]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _unrouted})
    # A redirect would be built from the Host header; there is nothing to redirect to.
    app.router.redirect_slashes = False
    return app
