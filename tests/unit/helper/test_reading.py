"""Whoever reads root's files for the helper is believed only when it is done, in time, and has answered soundly."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from supervisor.helper.protocol import Declared, Launch, Origin, encode_declared
from supervisor.helper.reading import Answer, Reading
from supervisor.helper.rights import NEEDED, lacking, needed

LAUNCH = Launch(
    "web",
    ("/bin/true",),
    (),
    "host",
    "overlay",
    "0:0",
    (),
    "/",
    "web",
    True,
    ("mount",),
    (),
    (),
    True,
    (),
    (),
)
KEPT = needed(())

#: Answers `WORD` with `FDS` on the socket it is given; HERE is this interpreter.
PROGRAM = """#!{here}
import fcntl, os, socket, sys
sys.path.insert(0, {root!r})
from supervisor.cli.declare import memory
from supervisor import __version__
helper = socket.socket(fileno=int(sys.argv[4]))
declared = {declared!r}
def unsealed():
    return os.memfd_create("x")
{body}
"""

Read = Callable[..., Answer]


@pytest.fixture
def read(tmp_path: Path) -> Iterator[Read]:
    """What comes of a program of this body in place of the one that reads."""
    spec = os.memfd_create("spec")
    made: list[Reading] = []

    def run(body: str, declared: Declared | None = None, *, late: bool = False) -> Answer:
        program = tmp_path / "python"
        mine = Declared(str(tmp_path), 1, 1, str(program), spec, -1, (), (), (), Origin("c", "/", 18, "", ""))
        root = str(Path(__file__).resolve().parents[3])
        told = encode_declared((declared or mine)._replace(spec=-1, containers=(LAUNCH,)))
        program.write_text(PROGRAM.format(here=sys.executable, root=root, body=body, declared=told))
        program.chmod(0o755)
        made.append(Reading(mine, {}, apply=True, rootless=False))
        made[-1].due = 0.0 if late else made[-1].due
        while (answer := made[-1].answer(KEPT)) is None:
            time.sleep(0.01)
        return answer

    yield run
    for one in made:
        one.close()
        os.waitpid(one.pid, 0)
    os.close(spec)


def test_what_is_declared_soundly_is_taken(read: Read) -> None:
    word = 'socket.send_fds(helper, [f"declared {__version__}".encode()], [memory("d", declared), memory("s", b"spec")])'
    answer = read(word)
    assert answer.declared
    assert answer.declared.containers == (LAUNCH,)
    assert os.pread(answer.spec, 9, 0) == b"spec"
    answer.close()


def test_problems_are_passed_on(read: Read) -> None:
    answer = read('socket.send_fds(helper, [b"problems"], [memory("p", b"[]")])')
    assert (answer.declared, os.pread(answer.problems, 9, 0)) == (None, b"[]")
    answer.close()


@pytest.mark.parametrize("body", ["", "sys.exit(3)", "helper.send(b'nonsense')", "os.kill(os.getpid(), 9)"])
def test_one_that_ends_without_an_answer_has_said_nothing(read: Read, body: str) -> None:
    answer = read(body)
    assert (answer.declared, answer.problems) == (None, -1)
    assert "without an answer" in answer.text


def test_one_that_hangs_is_not_waited_for(read: Read) -> None:
    assert "within" in read("import time; time.sleep(1000)", late=True).text


@pytest.mark.parametrize(
    "body",
    [
        'socket.send_fds(helper, [b"declared 0"], [memory("d", declared), memory("s", b"")])',
        'socket.send_fds(helper, [f"declared {__version__}".encode()], [unsealed(), memory("s", b"")])',
        'socket.send_fds(helper, [f"declared {__version__}".encode()], [memory("d", b"[1]"), memory("s", b"")])',
        'socket.send_fds(helper, [f"declared {__version__}".encode()], [memory("d", declared)])',
    ],
)
def test_what_another_version_or_nobody_of_ours_could_have_said_is_not_taken(read: Read, body: str) -> None:
    answer = read(body)
    assert answer.declared is None
    assert "start it again" in answer.text


def test_another_instance_is_not_taken(read: Read) -> None:
    other = Declared("/run/other", 0, 0, "/bin/python", -1, -1, (), ())
    word = 'socket.send_fds(helper, [f"declared {__version__}".encode()], [memory("d", declared), memory("s", b"")])'
    assert read(word, other).declared is None


def test_a_right_that_is_gone_is_named_with_who_needs_it() -> None:
    launch = LAUNCH._replace(name="clock", capabilities=("CHOWN", "SYS_TIME"))
    assert "container.clock: needs CAP_SYS_TIME" in lacking((LAUNCH, launch), NEEDED)
    assert lacking((launch,), needed((launch,))) == ""
    assert lacking((launch._replace(ids=5),), NEEDED) == ""
