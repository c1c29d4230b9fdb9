"""The daemon's end of the helper's socket: requests out, reports in, and runs that outlive the helper."""

import os
import socket
import tempfile
from pathlib import Path

import pytest
import trio

from supervisor.errors import ConfigError, HelperError, Problem, SupervisorError
from supervisor.helper.protocol import Report, Request, decode_request, encode_report
from supervisor.launcher.client import Link, Read


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


def test_what_has_come_is_heard_in_one_go_and_in_its_order(tmp_path: Path) -> None:
    async def main() -> None:
        link, helper = connected(tmp_path)
        heard: list[Report] = []
        for run in range(5):
            helper.send(encode_report(Report("ended", "web", run, code=0)))
        helper.close()
        with trio.fail_after(60):
            await link.run(heard.append)
        assert [report.run for report in heard[:-1]] == list(range(5))
        assert heard[-1].path == "helper-lost"
        link.close()

    trio.run(main)


def test_a_launch_is_asked_for_at_once_or_not_at_all(tmp_path: Path) -> None:
    async def main() -> None:
        link, helper = connected(tmp_path)
        assert link.launch_now("web", 1)
        asked = decode_request(helper.recv(4096))
        assert (asked.do, asked.name, asked.run) == ("launch", "web", 1)
        helper.close()
        assert not link.launch_now("web", 2)
        assert not link.lost  # that is for who waits to find out
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


def test_where_no_pidfd_is_kept_a_run_has_ended_when_its_cgroup_is_empty(tmp_path: Path) -> None:
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")

    async def main() -> None:
        ours, helper = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        link = Link(ours, os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY), keep=False)
        send, receive = trio.open_memory_channel[Report](10)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(link.run, send.send_nowait)
            started = Report("started", "web", 3, pid=1, unified=str(tmp_path))
            with (tmp_path / "pidfd").open("w") as stands_for_one:
                socket.send_fds(helper, [encode_report(started)], [stands_for_one.fileno()])
            assert (await receive.receive()).what == "started"
            helper.close()
            assert (await receive.receive()).path == "helper-lost"
            (tmp_path / "cgroup.events").write_text("populated 0\nfrozen 0\n")
            end = await receive.receive()
            nursery.cancel_scope.cancel()
        link.close()
        assert (end.what, end.name, end.run, end.signal) == ("ended", "web", 3, 9)

    trio.run(main)


def told(tmp_path: Path, *answers: tuple[Report, bytes | None]) -> tuple[Request, Read | Exception]:
    """What a reload asks of the helper, and what comes of these answers; bytes come as a memory file."""

    async def main() -> tuple[Request, Read | Exception]:
        link, helper = connected(tmp_path)
        outcome: list[Read | Exception] = []

        async def reload() -> None:
            try:
                outcome.append(await link.reload(apply=True))
            except SupervisorError as error:
                outcome.append(error)

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(link.run, lambda _: None)
                async with trio.open_nursery() as reloading:
                    reloading.start_soon(reload)
                    asked = decode_request(await trio.to_thread.run_sync(helper.recv, 4096))
                    for report, content in answers:
                        with tempfile.TemporaryFile() as file:
                            file.write(content or b"")
                            file.flush()
                            fds = [] if content is None else [file.fileno()]
                            socket.send_fds(helper, [encode_report(report)], fds)
                    if not answers:
                        helper.close()
                nursery.cancel_scope.cancel()
        link.close()
        helper.close()
        return asked, outcome[0]

    return trio.run(main)


def test_a_reload_names_nothing_and_returns_what_was_read_with_the_limits_that_changed(
    tmp_path: Path,
) -> None:
    asked, found = told(
        tmp_path,
        (Report("limits", "web", 1), None),
        (Report("limits", "db", 1, errno=34, path="cpu.max", hint="cgroup"), None),
        (Report("read", applied=True), b"{}"),
    )
    assert asked == Request("reload", apply=True)
    assert isinstance(found, Read)
    assert (found.spec, found.limits["web"]) == (b"{}", "")
    assert found.limits["db"].startswith("cpu.max: ")


def test_every_problem_of_the_files_is_raised(tmp_path: Path) -> None:
    _, found = told(tmp_path, (Report("unread"), b'[["a.toml", 3, "key", "text"]]'))
    assert isinstance(found, ConfigError)
    assert found.problems == (Problem("a.toml", 3, "key", "text"),)


@pytest.mark.parametrize(
    "answer", [Report("unread", path="it died"), Report("denied", path="reload: one is under way"), None]
)
def test_files_that_could_not_be_read_are_an_error(tmp_path: Path, answer: Report | None) -> None:
    _, found = told(tmp_path, *([(answer, None)] if answer else []))
    assert isinstance(found, HelperError)


def test_more_requests_than_the_socket_holds_wait_for_a_helper_that_is_slower(tmp_path: Path) -> None:
    async def main() -> None:
        link, helper = connected(tmp_path)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for run in range(1, 2001):
                    nursery.start_soon(link.launch, "web", run)
                asked: set[int] = set()
                while len(asked) < 2000:
                    asked.add(decode_request(await trio.to_thread.run_sync(helper.recv, 4096)).run)
        assert asked == set(range(1, 2001))
        link.close()
        helper.close()

    trio.run(main)
