"""The daemon's end of the helper's socket: requests out, reports in, and runs that outlive the helper."""

import os
import socket
from pathlib import Path

import pytest
import trio

from supervisor.errors import HelperError
from supervisor.helper.protocol import Report, decode_request, encode_report
from supervisor.launcher.client import Link


def connected(tmp_path: Path) -> tuple[Link, socket.socket]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    theirs.settimeout(60)
    return Link(ours, os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)), theirs


def test_removing_returns_when_the_helper_says_that_it_is_done(tmp_path: Path) -> None:
    async def main() -> None:
        link, helper = connected(tmp_path)
        heard: list[Report] = []
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run, heard.append)
                async with trio.open_nursery() as removing:
                    removing.start_soon(link.remove, "web")
                    asked = decode_request(await trio.to_thread.run_sync(helper.recv, 4096))
                    assert (asked.do, asked.name) == ("remove", "web")
                    helper.send(encode_report(Report("removed", "web")))
                nursery.cancel_scope.cancel()
        link.close()
        assert [report.what for report in heard] == ["removed"]
        helper.close()

    trio.run(main)


def test_a_request_to_a_helper_that_is_gone_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        link, helper = connected(tmp_path)
        helper.close()
        with pytest.raises(HelperError, match="start the supervisor again"):
            await link.launch("web", 1)
        link.close()

    trio.run(main)


@pytest.mark.parametrize(("recorded", "told"), [("7 -1\n", (7, -1)), ("-1 11\n", (-1, 11)), ("", (-1, 9))])
def test_a_run_that_ends_after_the_helper_is_told_with_what_its_init_recorded(
    tmp_path: Path, recorded: str, told: tuple[int, int]
) -> None:
    folder = tmp_path / "containers" / "web"
    folder.mkdir(parents=True)
    (folder / "exit").write_text(recorded)
    read, write = os.pipe()  # stands for a pidfd: readable once the process has ended

    async def main() -> None:
        link, helper = connected(tmp_path)
        send, receive = trio.open_memory_channel[Report](10)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run, send.send_nowait)
                socket.send_fds(helper, [encode_report(Report("started", "web", 3, pid=1))], [read])
                assert (await receive.receive()).what == "started"
                helper.close()
                assert (await receive.receive()).path == "helper-lost"
                os.close(write)
                end = await receive.receive()
                nursery.cancel_scope.cancel()
        link.close()
        assert (end.what, end.name, end.run) == ("ended", "web", 3)
        assert (end.code, end.signal) == told

    trio.run(main)
    os.close(read)
