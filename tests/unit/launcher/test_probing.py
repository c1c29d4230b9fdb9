"""Holds of probes as the daemon asks for them: each gets its own answer and the end that its own connection tells, whatever
comes in between, and what nobody waits for is let go of.
"""

import socket
from collections.abc import Awaitable, Callable

import pytest
import trio

from supervisor.core.spec import Health, Ready
from supervisor.errors import HelperError
from supervisor.helper.protocol import Report, Request, encode_report
from supervisor.launcher.probes import ATTEMPT, LOCALHOST, lower_health, lower_ready
from supervisor.launcher.probing import Probings, verdict


class Helper:
    """What was asked of it, and a probe's connection for each answer."""

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.gone = False
        self.probings = Probings(self.send)
        self.connections: list[socket.socket] = []

    async def send(self, request: Request) -> None:
        await trio.lowlevel.checkpoint()
        if self.gone:
            raise HelperError("gone")
        self.asked.append(request)

    def begin(self, name: str, run: int, kind: str) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, theirs.detach().to_bytes(4, "little"))
        assert self.probings.hear(Report("probing", name, run, path=kind), [rights])
        self.connections.append(ours)
        return ours

    async def until_asked(self, count: int) -> None:
        while len(self.asked) < count:
            await trio.lowlevel.checkpoint()


def play(main: Callable[[Helper, trio.Nursery], Awaitable[None]]) -> None:
    async def whole() -> None:
        helper = Helper()
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                await main(helper, nursery)
                nursery.cancel_scope.cancel()
        for one in helper.connections:
            one.close()

    trio.run(whole)


def test_the_end_is_what_the_probes_own_connection_says() -> None:
    async def main(helper: Helper, nursery: trio.Nursery) -> None:
        found: dict[str, str | None] = {}

        async def ask(name: str) -> None:
            found[name] = await helper.probings.probe(name, 1, "health")

        async with trio.open_nursery() as asking:
            for name in ("a", "b", "c"):
                asking.start_soon(ask, name)
            await helper.until_asked(3)
            b, a, c = (helper.begin(name, 1, "health") for name in ("b", "a", "c"))
            a.send(encode_report(Report("ended", "a", 1, code=0)))
            b.send(encode_report(Report("ended", "b", 1, code=2, path="no table")))
            c.close()
        assert found == {"a": "", "b": "the command exited with 2: no table", "c": "the probe was killed"}

    play(main)


def test_what_is_denied_or_of_a_helper_that_is_gone_is_no_verdict() -> None:
    async def main(helper: Helper, nursery: trio.Nursery) -> None:
        found: list[str | None] = []

        async def ask() -> None:
            found.append(await helper.probings.probe("web", 2, "ready"))

        nursery.start_soon(ask)
        await helper.until_asked(1)
        denied = Report("denied", "web", 1, path="probe ready: the container is ending")
        assert helper.probings.hear(denied, [])  # of an earlier run
        assert helper.probings.hear(denied._replace(run=2), [])
        while not found:
            await trio.lowlevel.checkpoint()
        nursery.start_soon(ask)
        await helper.until_asked(2)
        helper.probings.lose()
        while len(found) < 2:
            await trio.lowlevel.checkpoint()
        assert found == [None, None]
        assert not helper.probings.hear(Report("denied", "web", 1, path="signal: no"), [])
        helper.gone = True
        with pytest.raises(HelperError):
            await helper.probings.probe("web", 2, "ready")

    play(main)


def test_an_answer_that_nobody_waits_for_is_closed_and_so_is_one_that_is_given_up() -> None:
    async def main(helper: Helper, nursery: trio.Nursery) -> None:
        with trio.CancelScope() as scope:
            nursery.start_soon(helper.until_asked, 1)
            scope.cancel()
            await helper.probings.probe("web", 1, "health")
        late = helper.begin("web", 1, "health")
        assert late.recv(1) == b""
        asked = len(helper.asked)
        with trio.CancelScope() as scope:

            async def give_up() -> None:
                await helper.until_asked(asked + 1)
                helper.begin("web", 1, "health")
                scope.cancel()

            nursery.start_soon(give_up)
            await helper.probings.probe("web", 1, "health")
        assert helper.connections[-1].recv(1) == b""

    play(main)


def test_the_one_before_is_over_when_the_helper_says_so() -> None:
    async def main(helper: Helper, nursery: trio.Nursery) -> None:
        await helper.probings.over("web", "health")  # there is none
        helper.begin("web", 1, "health")
        await helper.probings.over("web", "ready")  # of another kind
        done = trio.Event()

        async def wait() -> None:
            await helper.probings.over("web", "health")
            done.set()

        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        assert not done.is_set()
        assert helper.probings.hear(Report("probed", "web", 1, path="health"), [])
        await done.wait()

    play(main)


@pytest.mark.parametrize(
    ("report", "why"),
    [
        (Report("ended", code=0, path="all is well"), ""),
        (Report("ended", code=3), "the command exited with 3"),
        (Report("ended", signal=11, path="oops"), "the command was ended by signal 11: oops"),
        (Report("ended", signal=9, hint="timeout"), "the command had not ended in time"),
        (Report("ended", stage="network", code=1, path="answered 503"), "answered 503"),
        (Report("ended", stage="network", code=0), ""),
        (
            Report("refused", stage="exec", errno=2, path="nope"),
            "could not be made: exec: nope: No such file or directory",
        ),
    ],
)
def test_a_verdict_says_in_words_what_was_wrong(report: Report, why: str) -> None:
    assert verdict(report) == why


# ── lowered ────────────────────────────────────────────────────────────────────────────


def test_a_url_becomes_an_address_and_a_request() -> None:
    probe = lower_health(Health("http", "http://127.0.0.1:8080/a/b?c=d#e", timeout=2.0))
    assert probe is not None
    assert (probe.hosts, probe.port, probe.timeout) == (("127.0.0.1",), 8080, 2.0)
    lines = probe.says.split("\r\n")
    assert lines[0] == "GET /a/b?c=d HTTP/1.1"
    assert "Host: 127.0.0.1:8080" in lines
    assert lines[-2:] == ["", ""]
    short = lower_health(Health("http", "http://[::1]"))
    assert short is not None
    assert (short.hosts, short.port) == (("::1",), 80)
    assert short.says.startswith("GET / HTTP/1.1\r\nHost: [::1]\r\n")


def test_localhost_is_both_loopback_addresses() -> None:
    probe = lower_ready(Ready("tcp", "localhost:6379", timeout=60.0))
    assert probe is not None
    assert (probe.hosts, probe.port, probe.says, probe.timeout) == (LOCALHOST, 6379, "", ATTEMPT)
    other = lower_ready(Ready("tcp", "[::1]:1", timeout=1.0))
    assert other is not None
    assert (other.hosts, other.timeout) == (("::1",), 1.0)


def test_a_command_has_all_the_time_there_is_and_what_says_it_itself_is_not_asked() -> None:
    probe = lower_ready(Ready("exec", ("/bin/true",), timeout=60.0))
    assert probe is not None
    assert (probe.argv, probe.timeout) == (("/bin/true",), 60.0)
    assert lower_ready(Ready("notify")) is lower_ready(Ready("log", "x")) is lower_ready(None) is None
    assert lower_health(None) is None
