"""The log folder as the API reads it: history merged by time, then what follows, nothing twice."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import trio

from supervisor.api.reading import LogFolder
from supervisor.errors import RequestError
from supervisor.logs.bell import Bell


def record(second: int, container: str, **more: Any) -> bytes:
    fields = {"ts": f"2026-11-24T03:00:{second:02}.000000Z", "container": container, **more}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


class Folder:
    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDONLY)
        self.bell = Bell()
        self.unreadable: list[str] = []
        self.records = LogFolder(
            self.fd, lambda: ["web", "db"], self.bell.subscribe, lambda file, _: self.unreadable.append(file)
        )

    def add(self, name: str, *records: bytes) -> None:
        os.makedirs(f"{self.path}/{name}", exist_ok=True)
        with open(f"{self.path}/{name}/current.jsonl", "ab") as file:
            file.writelines(records)
        self.bell.ring()

    def rotate(self, name: str, second: int) -> None:
        os.rename(
            f"{self.path}/{name}/current.jsonl",
            f"{self.path}/{name}/2026-11-24T03-00-{second:02}.000000Z.jsonl",
        )

    async def read(
        self, *names: str, last: int | None = None, output: bool = True, events: bool = False
    ) -> list[str]:
        chunks = self.records.read(names, last=last, follow=False, output=output, events=events)
        data = b"".join([chunk async for chunk in chunks])
        return [line[24:26] for line in data.decode().splitlines()]


@pytest.fixture
def logs(folder: str) -> Iterator[Folder]:
    made = Folder(folder)
    made.add("web", record(1, "web"), record(4, "web"))
    made.rotate("web", 1)
    made.add("web", record(5, "web"))
    made.add("db", record(2, "db"), record(6, "db"))
    made.add("supervisor", record(0, "db"), record(3, "web"))
    yield made
    os.close(made.fd)


@pytest.mark.parametrize(
    ("names", "options", "seconds"),
    [
        ((), {}, "01 02 04 05 06"),
        ((), {"last": 2}, "05 06"),
        ((), {"last": 0}, ""),
        (("web",), {}, "01 04 05"),
        (("web",), {"events": True}, "01 03 04 05"),
        (("web",), {"events": True, "last": 3}, "03 04 05"),
        ((), {"events": True}, "00 01 02 03 04 05 06"),
        ((), {"output": False, "events": True}, "00 03"),
        ((), {"output": False, "events": True, "last": 1}, "03"),
    ],
)
def test_records_come_merged_by_time(
    logs: Folder, names: tuple[str, ...], options: Any, seconds: str
) -> None:
    assert trio.run(lambda: logs.read(*names, **options)) == seconds.split()


def test_a_name_without_container_and_log_is_not_found(logs: Folder) -> None:
    with pytest.raises(RequestError, match="nope"):
        trio.run(lambda: logs.read("nope"))


def test_the_log_of_a_container_that_is_gone_can_be_read(logs: Folder) -> None:
    logs.add("old", record(9, "old"))
    assert trio.run(lambda: logs.read("old")) == ["09"]


@pytest.mark.parametrize("last", [None, 1])
def test_following_goes_on_over_rotation_without_loss_or_repetition(logs: Folder, last: int | None) -> None:
    def rotate() -> None:
        logs.rotate("db", 2)
        logs.add("db", record(8, "db"))

    changes: list[Callable[[], None]] = [
        lambda: logs.add("db", record(7, "db")),
        rotate,
        lambda: logs.add("web", record(9, "web")),
    ]

    async def main() -> list[str]:
        seen = ""
        async with aclosing(
            logs.records.read((), last=last, follow=True, output=True, events=False)
        ) as chunks:
            async for chunk in chunks:
                seen += chunk.decode()
                if "03:00:09" in seen:
                    return [line[24:26] for line in seen.splitlines()]
                changes.pop(0)()
        raise AssertionError

    assert trio.run(main) == (["01", "02", "04", "05"] if last is None else []) + ["06", "07", "08", "09"]


def test_a_damaged_file_breaks_off_no_answer_and_is_told_of_once(logs: Folder) -> None:
    file = "web/2026-11-24T03-00-00.000000Z.jsonl.zst"
    with open(f"{logs.path}/{file}", "wb") as damaged:
        damaged.write(b"rubbish" * 99)

    async def main() -> None:
        for _ in range(2):
            assert await logs.read("web") == ["01", "04", "05"]
            assert await logs.read("web", last=9) == ["01", "04", "05"]

    trio.run(main)
    assert logs.unreadable == [file]
