"""The client for programs, on asyncio and on trio, against the real server."""

import os
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from supervisor.api import server
from supervisor.api.client import Client
from supervisor.errors import Problem, RequestError
from supervisor.logs.wanted import Wanted

pytestmark = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def run(backend: str, main: Callable[[], Awaitable[Any]]) -> Any:
    return anyio.run(main, backend=backend)


def test_it_finds_the_supervisor_by_runtime_dir_or_by_socket(served: Any, backend: str) -> None:
    async def main() -> None:
        for where in (served.folder, served.path):
            async with Client(where) as client:
                assert (await client.info())["runtime_dir"] == served.folder

    run(backend, main)


def test_it_reads_states(served: Any, backend: str) -> None:
    async def main() -> None:
        client = Client(served.folder)
        assert [each["name"] for each in await client.status()] == ["web", "db"]
        assert [each["name"] for each in await client.status("db")] == ["db"]
        assert (await client.inspect("web"))["config"]["command"] == ["/bin/true"]

    run(backend, main)


def test_it_acts_on_containers(served: Any, backend: str) -> None:
    async def main() -> None:
        client = Client(served.folder)
        for act in (client.start, client.stop, client.restart, client.kill):
            assert (await act("web"))[0]["state"] == "running"
        await client.kill("web", "SIGHUP")

    run(backend, main)
    assert [call[0] for call in served.fleet.calls] == ["start", "stop", "restart", "kill", "kill"]


def test_it_plans_and_reloads_and_tells_the_files_problems(served: Any, backend: str) -> None:
    async def main() -> None:
        client = Client(served.folder)
        assert (await client.plan())["removed"] == ["old"]
        assert (await client.reload())["failed"] == {}
        served.reload.error = RequestError("invalid", "no", (Problem("a.toml", 1, "key", "text"),))
        with pytest.raises(RequestError) as caught:
            await client.reload()
        assert caught.value.problems == (Problem("a.toml", 1, "key", "text"),)

    run(backend, main)


def test_it_stops_the_supervisor(served: Any, backend: str) -> None:
    assert run(backend, Client(served.folder).stop_supervisor) == {"pid": os.getpid()}
    assert served.stopped.is_set()


def test_it_reads_logs_and_events_to_their_end(served: Any, backend: str) -> None:
    async def main() -> None:
        client = Client(served.folder)
        assert [each["line"] async for each in client.logs("web", last=3)] == ["1", "2", "3"]
        assert len([each async for each in client.events()]) == 3
        async for _ in client.logs("web", level="error", stream="stderr", field=["a.b=c"], reverse=True):
            pass
        asked = served.records.asked[-1]
        assert (asked["reverse"], asked["wanted"]) == (
            True,
            Wanted(level="error", stream="stderr", fields=(("a.b", "c"),)),
        )

    run(backend, main)
    assert served.records.asked[0]["last"] == 3


def test_a_record_split_between_chunks_is_one_record(served: Any, backend: str) -> None:
    served.records.chunks = [b'{"line":', b'"12"}\n{"li', b'ne":"3"}\n']

    async def main() -> list[str]:
        return [each["line"] async for each in Client(served.folder).logs()]

    assert run(backend, main) == ["12", "3"]


def test_a_follower_gets_records_as_they_come_and_can_leave(served: Any, backend: str) -> None:
    async def main() -> list[str]:
        async with aclosing(Client(served.folder).logs(follow=True)) as records:
            return [(await anext(records))["line"] for _ in range(3)]

    assert run(backend, main) == ["1", "2", "3"]
    assert served.records.closed.wait(60)


def test_a_follower_can_be_cancelled(served: Any, backend: str) -> None:
    async def main() -> None:
        with anyio.CancelScope() as scope:
            async with aclosing(Client(served.folder).logs(follow=True)) as records:
                async for record in records:
                    if record["line"] == "3":
                        scope.cancel()

    run(backend, main)
    assert served.records.closed.wait(60)


def test_following_ends_when_the_supervisor_does(
    served: Any, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "GRACE", 60.0)  # however slowly this machine takes it

    async def main() -> int:
        client, seen = Client(served.folder), 0
        async with aclosing(client.events(follow=True)) as records:
            async for _ in records:
                seen += 1
                if seen == 3:
                    await client.stop_supervisor()
        return seen

    assert run(backend, main) == 3


def test_requests_run_side_by_side(served: Any, backend: str) -> None:
    async def main() -> None:
        client = Client(served.folder)
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(client.restart, "web")

    run(backend, main)
    assert len(served.fleet.calls) == 20


def test_the_servers_code_is_raised(served: Any, backend: str) -> None:
    served.fleet.refuse["start web"] = RequestError("conflict", "it is stopping")
    with pytest.raises(RequestError, match="it is stopping") as caught:
        run(backend, lambda: Client(served.folder).start("web"))
    assert caught.value.code == "conflict"


def test_a_name_with_a_slash_stays_a_name(served: Any, backend: str) -> None:
    with pytest.raises(RequestError) as caught:
        run(backend, lambda: Client(served.folder).inspect("web/start?x"))
    assert caught.value.code == "not-found"


@pytest.mark.parametrize("stale", [False, True])
def test_no_supervisor_is_said_at_once(folder: str, backend: str, stale: bool) -> None:
    if stale:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(f"{folder}/api.sock")

    async def main() -> None:
        async with Client(folder):
            raise AssertionError

    with pytest.raises(RequestError, match="no supervisor is running in") as caught:
        run(backend, main)
    assert caught.value.code == "unavailable"


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]",
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{",
    ],
)
def test_a_broken_answer_is_said_to_be_one(folder: str, backend: str, answer: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{folder}/api.sock")
        sock.listen()

        def reply() -> None:
            with sock.accept()[0] as one:
                one.recv(65536)
                one.sendall(answer)

        thread = threading.Thread(target=reply)
        thread.start()
        with pytest.raises(RequestError) as caught:
            run(backend, Client(folder).status)
        thread.join()
    assert caught.value.code == "unavailable"
