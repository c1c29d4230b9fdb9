"""The API for programs: asyncio and trio alike, over anyio and h11.

    async with Client() as supervisor:
        for container in await supervisor.status():
            print(container["name"], container["state"])
        async for record in supervisor.logs("web", follow=True):
            print(record["line"])

Laws: one connection a request, so requests may run side by side and be cancelled at any
moment; RequestError carries the server's own code, and "unavailable" when none is running.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

import anyio
import h11
import msgspec
from anyio.abc import ByteStream

from supervisor.api.address import broken, reachable, refusal, socket_path
from supervisor.api.call import container, query
from supervisor.errors import Problem, RequestError

Json = dict[str, Any]
T = TypeVar("T")


class Filters(TypedDict, total=False):
    """Which records: as schema.EventsQuery has it."""

    since: str
    until: str
    level: str
    run: int
    field: Sequence[str]
    reverse: bool


class OutputFilters(Filters, total=False):
    """As schema.LogsQuery has it."""

    stream: str


class Client:
    """One supervisor, found by its runtime dir or socket (default: as the command line does).

    `async with` asks the server who it is, so that it fails at once where none is running;
    it is not needed otherwise.
    """

    def __init__(self, where: str | None = None) -> None:
        self.path = socket_path(where)

    async def __aenter__(self) -> Self:
        await self.info()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing is held between requests."""

    async def info(self) -> Json:
        """version, runtime_dir, log_dir, pid, started_at."""
        return await self._value(Json, "GET", "/v1/info")

    async def status(self, *names: str) -> list[Json]:
        """SPEC §2 objects of the named containers, or of all."""
        return await self._value(
            list[Json], "GET", "/v1/containers" + query(("name", name) for name in names)
        )

    async def inspect(self, name: str) -> Json:
        return await self._value(Json, "GET", container(name))

    async def start(self, name: str) -> list[Json]:
        """Start a container; returns its state once it is started."""
        return await self._value(list[Json], "POST", container(name, "start"))

    async def stop(self, name: str) -> list[Json]:
        """Stop a container; returns once nothing of it runs."""
        return await self._value(list[Json], "POST", container(name, "stop"))

    async def restart(self, name: str) -> list[Json]:
        return await self._value(list[Json], "POST", container(name, "restart"))

    async def kill(self, name: str, signal: str = "SIGTERM") -> list[Json]:
        return await self._value(list[Json], "POST", container(name, "kill"), {"signal": signal})

    async def stop_supervisor(self) -> Json:
        """Begin to stop everything; it is gone when process `pid` of the answer is."""
        return await self._value(Json, "POST", "/v1/stop")

    async def plan(self) -> Json:
        """What a reload would change, as schema.Plan has it. RequestError.problems: the files are wrong."""
        return await self._value(Json, "GET", "/v1/plan")

    async def reload(self) -> Json:
        """The same, done; returns once it is."""
        return await self._value(Json, "POST", "/v1/reload")

    def logs(
        self,
        *names: str,
        last: int | None = None,
        follow: bool = False,
        events: bool = False,
        **filters: Unpack[OutputFilters],
    ) -> AsyncGenerator[Json]:
        """Records of output in time order. With `follow` it ends when the supervisor does."""
        pairs: list[tuple[str, object]] = [("name", name) for name in names]
        pairs += [("events", 1)] if events else []
        return self._records("/v1/logs", pairs, last, follow, filters)

    def events(
        self, *, last: int | None = None, follow: bool = False, **filters: Unpack[Filters]
    ) -> AsyncGenerator[Json]:
        """The supervisor's own records."""
        return self._records("/v1/events", [], last, follow, filters)

    async def _records(
        self, path: str, pairs: list[tuple[str, object]], last: int | None, follow: object, filters: Filters
    ) -> AsyncGenerator[Json]:
        pairs += [("n", last)] if last is not None else []
        pairs += [("follow", 1)] if follow else []
        pairs += [("reverse", 1)] if filters.pop("reverse", False) else []
        pairs += [("field", each) for each in filters.pop("field", ())]
        pairs += filters.items()
        rest = b""
        async with aclosing(self._exchange("GET", path + query(pairs))) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield msgspec.json.decode(line)

    async def _value(self, kind: type[T], method: str, target: str, body: object = None) -> T:
        data = b"" if body is None else msgspec.json.encode(body)
        async with aclosing(self._exchange(method, target, data)) as chunks:
            data = b"".join([chunk async for chunk in chunks])
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.MsgspecError:
            raise broken() from None

    async def _exchange(self, method: str, target: str, body: bytes = b"") -> AsyncGenerator[bytes]:
        """Chunks of the answer's body."""
        wire = h11.Connection(h11.CLIENT)
        try:
            with reachable(self.path) as address:
                stream = await anyio.connect_unix(address)
        except OSError as error:
            raise refusal(error, self.path) from None
        async with stream:
            await _send(wire, stream, method, target, body)
            answer = await _next(wire, stream)
            if not isinstance(answer, h11.Response):
                raise broken()
            refused = b""
            while isinstance(event := await _next(wire, stream), h11.Data):
                if answer.status_code < 400:
                    yield bytes(event.data)
                else:
                    refused += event.data
            if answer.status_code >= 400:
                raise _failure(answer.status_code, refused)


async def _send(wire: h11.Connection, stream: ByteStream, method: str, target: str, body: bytes) -> None:
    headers = [("host", "localhost"), ("connection", "close"), ("content-length", str(len(body)))]
    events = (
        h11.Request(method=method, target=target, headers=headers),
        h11.Data(data=body),
        h11.EndOfMessage(),
    )
    with suppress(anyio.BrokenResourceError):  # it may have answered before it closed
        await stream.send(b"".join(wire.send(event) or b"" for event in events))


async def _next(wire: h11.Connection, stream: ByteStream) -> h11.Event:
    try:
        while (event := wire.next_event()) is h11.NEED_DATA:
            try:
                wire.receive_data(await stream.receive(65536))
            except anyio.EndOfStream:
                wire.receive_data(b"")
    except (h11.RemoteProtocolError, anyio.BrokenResourceError):
        raise broken() from None
    if isinstance(event, type | h11.ConnectionClosed):
        raise broken()
    return event


def _failure(status: int, body: bytes) -> RequestError:
    try:
        answer = msgspec.json.decode(body)
        problems = tuple(Problem(**each) for each in answer.get("problems", ()))
        return RequestError(str(answer["error"]), str(answer["detail"]), problems)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return RequestError("failed", f"the supervisor answered with HTTP status {status}")
